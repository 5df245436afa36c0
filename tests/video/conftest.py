import pytest

from magstyle.video import codec


@pytest.fixture
def copy(tmp_path):
    """Reads a clip and writes it again: copy("a.mp4", ".webm", start=1) gives the new path and what the writer says."""

    def call(path, suffix=".mp4", **arguments):
        with (
            codec.Clip(path, **arguments) as clip,
            codec.Writer(tmp_path / f"copy{suffix}", clip.size, clip.time_base, clip.rate, clip.colors, clip) as writer,
        ):
            for frame in clip.frames():
                writer.write(frame.image, frame.time, frame.duration)
        return tmp_path / f"copy{suffix}", [*clip.remarks, *writer.remarks]

    return call
