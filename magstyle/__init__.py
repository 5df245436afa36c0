"""Fast, multi-style image stylisation in Keras 3, the successor of Magenta's image_stylization.

Everything that the programs do can be called from here, with the same names and defaults:

- `Stylizer` paints arrays, `stylize_photos` files, `stylize_video` clips, `stylize_dataset` whole datasets;
  `preserve_color` keeps a photo's colours, and `match_color` takes the colours of another image.
- `load_model` opens a model from wherever it comes, `save_model` saves it, `merge_models` makes one model of several,
  and `bundled_models` names those that come along; `load_vgg` opens the loss network.
- `add_styles` makes a model of paintings at once, without training; `train_predictor` makes the model that it needs.
- `create_style_dataset`, `train` and `finetune` make a model of paintings, `distil` one that is faster, and `evaluate`
  says how good it is.
- `neural_style`, `reconstruct` and `deep_dream` optimise the pixels of one picture, without a trained network; `figure`
  arranges pictures.
- `convert_tflite`, `convert_onnx`, `export_saved_model` and `build_page` take a model to phones, apps, servers and
  browsers.
- `read_image` and `write_image` turn image files into arrays and back.

Invalid input raises `InputError` with a one-sentence explanation. `keras.saving.load_model` opens our `.keras` files,
too, once `magstyle.StyleTransformer` has been used.
"""

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from magstyle.checkpoints.model_files import bundled_models, load_model, merge_models, save_model
    from magstyle.checkpoints.paintings import add_styles
    from magstyle.checkpoints.vgg_files import load_vgg
    from magstyle.data.images import read_image, write_image
    from magstyle.datasets.dataset_files import stylize_dataset
    from magstyle.errors import InputError
    from magstyle.evaluation.measures import evaluate
    from magstyle.export.onnx_files import convert_onnx
    from magstyle.export.page import build_page
    from magstyle.export.saved_model import export_saved_model
    from magstyle.export.tflite import convert_tflite
    from magstyle.figures.figure_files import figure
    from magstyle.models.transformer import StyleTransformer
    from magstyle.optimization.deep_dream_files import deep_dream
    from magstyle.optimization.neural_style_files import neural_style
    from magstyle.optimization.reconstruction_files import reconstruct
    from magstyle.painting.colors import match_color, preserve_color
    from magstyle.painting.photo_files import stylize_photos
    from magstyle.painting.stylizer import Stylizer
    from magstyle.training.gram_matrices import create_style_dataset
    from magstyle.training.trainer import distil, finetune, train, train_predictor
    from magstyle.video.video_files import stylize_video

# Imported when they are first used: TensorFlow and Keras take seconds.
_MODULES = {
    "magstyle.checkpoints.model_files": ("bundled_models", "load_model", "merge_models", "save_model"),
    "magstyle.checkpoints.paintings": ("add_styles",),
    "magstyle.checkpoints.vgg_files": ("load_vgg",),
    "magstyle.data.images": ("read_image", "write_image"),
    "magstyle.datasets.dataset_files": ("stylize_dataset",),
    "magstyle.errors": ("InputError",),
    "magstyle.evaluation.measures": ("evaluate",),
    "magstyle.export.onnx_files": ("convert_onnx",),
    "magstyle.export.page": ("build_page",),
    "magstyle.export.saved_model": ("export_saved_model",),
    "magstyle.export.tflite": ("convert_tflite",),
    "magstyle.figures.figure_files": ("figure",),
    "magstyle.models.transformer": ("StyleTransformer",),
    "magstyle.optimization.deep_dream_files": ("deep_dream",),
    "magstyle.optimization.neural_style_files": ("neural_style",),
    "magstyle.optimization.reconstruction_files": ("reconstruct",),
    "magstyle.painting.colors": ("match_color", "preserve_color"),
    "magstyle.painting.photo_files": ("stylize_photos",),
    "magstyle.painting.stylizer": ("Stylizer",),
    "magstyle.training.gram_matrices": ("create_style_dataset",),
    "magstyle.training.trainer": ("distil", "finetune", "train", "train_predictor"),
    "magstyle.video.video_files": ("stylize_video",),
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}

__all__ = [  # noqa: RUF022  In the order in which a reader meets them.
    "Stylizer",
    "preserve_color",
    "match_color",
    "stylize_photos",
    "stylize_video",
    "read_image",
    "write_image",
    "load_model",
    "save_model",
    "bundled_models",
    "merge_models",
    "StyleTransformer",
    "add_styles",
    "create_style_dataset",
    "train",
    "finetune",
    "train_predictor",
    "distil",
    "evaluate",
    "load_vgg",
    "stylize_dataset",
    "neural_style",
    "reconstruct",
    "deep_dream",
    "figure",
    "convert_tflite",
    "convert_onnx",
    "export_saved_model",
    "build_page",
    "InputError",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from magstyle import project  # Here, so that importing this package costs nothing.

    with project.needing_tensorflow(f"magstyle.{name}"):
        value = getattr(importlib.import_module(_MODULE_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
