"""What a program has written for TensorBoard."""

import tensorflow as tf


def curves(folder) -> dict[str, dict[int, float]]:
    """Value by step by name, of all event files of a folder; of steps written twice the later one."""
    found = {}
    for path in sorted(folder.glob("events.out.tfevents.*"), key=lambda path: path.stat().st_mtime_ns):
        try:
            for event in tf.compat.v1.train.summary_iterator(str(path)):
                for value in event.summary.value:
                    if value.metadata.plugin_data.plugin_name == "scalars":
                        found.setdefault(value.tag, {})[event.step] = float(tf.make_ndarray(value.tensor))
        except tf.errors.DataLossError:
            continue  # The end of the file of a program that was killed.
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
