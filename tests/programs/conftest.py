"""What the tests of the training programs share."""

import pytest


@pytest.fixture(scope="session")
def training_flags(photos, vgg_file, style_dataset):
    """Flags of a training that takes seconds; the train_dir and more are to follow."""
    return [
        f"--style_dataset_file={style_dataset}",
        f"--content_files={photos}",
        f"--vgg_checkpoint={vgg_file}",
        "--batch_size=2",
        "--image_size=32",
        "--save_summaries_secs=0",
    ]
