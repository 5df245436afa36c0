"""Reads the curves and images that a program wrote for TensorBoard."""

import tensorflow as tf


def curves(folder) -> dict[str, dict[int, float]]:
    """The values of all event files in a folder, by name and step; the later one if a step was written twice."""
    found = {}
    for path in sorted(folder.glob("events.out.tfevents.*"), key=lambda path: path.stat().st_mtime_ns):
        try:
            for event in tf.compat.v1.train.summary_iterator(str(path)):
                for value in event.summary.value:
                    if value.metadata.plugin_data.plugin_name == "scalars":
                        found.setdefault(value.tag, {})[event.step] = float(tf.make_ndarray(value.tensor))
        except tf.errors.DataLossError:
            continue  # A killed program leaves a truncated file.
    return found


def images_in(folder) -> set[tuple[str, int]]:
    """The names and steps of the images in the event files of a folder."""
    return {
        (value.tag, event.step)
        for path in folder.glob("events.out.tfevents.*")
        for event in tf.compat.v1.train.summary_iterator(str(path))
        for value in event.summary.value
        if value.metadata.plugin_data.plugin_name == "images"
    }
