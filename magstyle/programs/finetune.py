"""Teaches a trained network new styles: only the scales and offsets of its normalisations are trained.

bin/finetune.py --checkpoint=model.keras --style_dataset_file=mine.tfrecord --content_files=photos --train_dir=finetuned

The network keeps the styles that it has, and paints those of the new dataset too, with the strokes that it knows.
"""

from absl import flags

from magstyle.programs import command_line, shared_flags, training_flags

FLAGS = flags.FLAGS
# Those of `magstyle.training.trainer.FinetuneOptions`, in numbers and in words.
DEFAULTS = {
    **{"batch_size": 1, "image_size": 192, "train_steps": None, "learning_rate": 0.05, "decay_steps": None},
    **{"augment": True, "checkerboard_weight": 400.0, "mesh_weight": 0.2},
}
HELP = {
    "train_steps": "Steps to train, those of earlier starts included; 100 for each painting by default.",
    "decay_steps": "Over the last so many steps the learning rate falls to 0; three quarters of them by default.",
    "content_weights": "Weights by VGG end point; \"{'vgg_16/conv3': 2e-6}\" by default.",
    "style_weights": "The same for the style; by default 9e-10 on conv1 and conv2, 4e-9 on conv3, 5e-5 on conv4.",
}


def define_flags() -> None:
    shared_flags.define_checkpoint()
    shared_flags.define_alpha()
    flags.DEFINE_bool("keep_styles", True, "Keep the styles that the model has; otherwise the new ones replace them.")
    training_flags.define_training()
    for name, value in DEFAULTS.items():
        FLAGS.set_default(name, value)
    for name, text in HELP.items():
        FLAGS[name].help = text
    shared_flags.mark_as_paths("train_dir", *shared_flags.PATHS_OF_DATA)


def main(arguments: list[str]) -> None:
    training_flags.train("finetune", arguments)


def run() -> None:
    command_line.run(define_flags, main)
