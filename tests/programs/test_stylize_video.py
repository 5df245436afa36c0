"""Painting a clip, by the program and from Python; clips themselves are tested in tests/video/test_codec.py."""

import errno
import io
import itertools
import re
import signal
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import av
import numpy as np
import pytest
from PIL import Image

import magstyle
from magstyle.video import codec, optical_flow
from tests import clips, processes


@pytest.fixture
def clip(tmp_path):
    clips.write_clip(tmp_path / "a.mp4")
    return tmp_path / "a.mp4"


def frames_of(path, **arguments):
    with codec.Clip(path, **arguments) as clip:
        return np.array([frame.image for frame in clip.frames()])


def distance(images, others) -> float:
    return np.abs(np.subtract(images, others, dtype=float)).mean()


def painted(images, model, *styles):
    """Of each image in its style, as uint8."""
    stylizer = magstyle.Stylizer(model)
    pairs = zip(images, styles * (len(images) if len(styles) == 1 else 1), strict=True)
    return [np.rint(255 * stylizer.stylize(image / np.float32(255), style)) for image, style in pairs]


def test_every_frame_is_painted_and_the_sound_is_the_clips(clip, small_checkpoint, run, tmp_path):
    result = run(
        "stylize_video",
        clip,
        tmp_path / "b.mp4",
        f"--checkpoint={small_checkpoint}",
        "--which_styles=wav",
        "--nosteady",
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout == f"{tmp_path}/b.mp4\n"
    assert "6/6" in result.stderr and "frame/s" in result.stderr
    found, expected = frames_of(tmp_path / "b.mp4"), painted(frames_of(clip), small_checkpoint, "wave")
    assert distance(found, expected) < 0.3 * distance(found, frames_of(clip))
    assert clips.sound_of(tmp_path / "b.mp4") == clips.sound_of(clip)


def test_a_walk_leads_from_the_first_style_to_the_last(clip, small_model, tmp_path):
    path = magstyle.stylize_video(
        clip,
        tmp_path / "b.mp4",
        checkpoint=small_model,
        which_styles=["scream", {"wave": 1}, 2],
        walk=True,
        steady=False,
    )
    mixtures = [{0: 1}, {0: 0.6, 1: 0.4}, {0: 0.2, 1: 0.8}, {1: 0.8, 2: 0.2}, {1: 0.4, 2: 0.6}, {2: 1}]
    expected = painted(frames_of(clip), small_model, *mixtures)
    found = frames_of(path)
    assert distance(found, expected) < 0.3 * distance(found[0], found[-1])


@pytest.mark.parametrize("colors", ["preserve_color", "color_from"])
def test_colours_are_kept_or_taken_where_they_are_wanted(clip, small_model, tmp_path, colors):
    other = np.random.default_rng(0).random((9, 8, 3)) * [0.2, 0.5, 0.9]
    brush = {"preserve_color": True} if colors == "preserve_color" else {"color_from": other}
    path = magstyle.stylize_video(clip, tmp_path / "b.mp4", checkpoint=small_model, duration=0.1, **brush)
    [image], [found] = frames_of(clip)[:1], frames_of(path)
    [picture] = painted([image], small_model, 0)
    wanted = {
        "preserve_color": magstyle.preserve_color(image / 255, picture / 255),
        "color_from": magstyle.match_color(picture / 255, other),
    }
    assert distance(found, 255 * wanted[colors]) < 0.3 * distance(found, picture)


def test_masks_strength_and_strokes_are_those_of_photos(clip, small_model, tmp_path):
    left = np.zeros((48, 64), np.float32)
    left[:, :32] = 1
    brush = {"mask": [(left, "scream")], "strength": 0.8, "stroke_size": 2}
    path = magstyle.stylize_video(
        clip, tmp_path / "b.mp4", checkpoint=small_model, which_styles="photo", duration=0.1, steady=False, **brush
    )
    [image], [found] = frames_of(clip)[:1], frames_of(path)
    [photo] = magstyle.stylize_photos(
        _png(image, tmp_path / "a.png"), tmp_path, checkpoint=small_model, which_styles="photo", **brush
    )
    expected = 255 * magstyle.read_image(photo)
    assert distance(found, expected) < 0.3 * distance(found, image)
    assert distance(found[:, 36:], image[:, 36:]) < 0.3 * distance(found[:, :28], image[:, :28])


def test_a_mask_stays_where_it_is_while_the_camera_moves(small_model, tmp_path):
    clips.write_clip(tmp_path / "a.mp4", size=(160, 96))
    left = np.zeros((96, 160), np.float32)
    left[:, :80] = 1
    path = magstyle.stylize_video(
        tmp_path / "a.mp4", tmp_path / "b.mp4", checkpoint=small_model, mask=[(left, "scream")], which_styles="wave"
    )
    frame, last = frames_of(tmp_path / "a.mp4")[-1], frames_of(path)[-1]
    scream, wave = painted([frame, frame], small_model, "scream", "wave")
    for side, style, other in ((slice(None, 76), scream, wave), (slice(84, None), wave, scream)):
        assert distance(last[:, side], style[:, side]) < 0.4 * distance(last[:, side], other[:, side])


@pytest.mark.parametrize("steady", [False, True])
def test_inside_a_hard_mask_a_clip_looks_as_it_does_all_in_that_style(clip, small_model, monkeypatch, tmp_path, steady):
    # As if everything came from the other region.
    crossing = optical_flow.Motion(np.full((48, 64, 2), [24, 0], np.float32), np.ones((48, 64), bool))
    monkeypatch.setattr(optical_flow, "motion", lambda before, frame: crossing)
    left = np.zeros((48, 64), np.float32)
    left[:, :32] = 1
    mixture, options = {"wave": 0.5, "starry_night": 0.5}, {"checkpoint": small_model, "steady": steady}
    ways = [
        {"which_styles": "scream", "mask": [(left, mixture)]},
        {"which_styles": "photo", "mask": [(left, mixture)]},
        {"which_styles": mixture},
        {"which_styles": "scream"},
    ]
    on_scream, on_photo, mixed, scream = (
        frames_of(magstyle.stylize_video(clip, tmp_path / f"{k}.mp4", **options, **way)) for k, way in enumerate(ways)
    )
    inside, outside = np.s_[:, :, :28], np.s_[:, :, 36:]  # Away from the edge, around which encoding blurs.
    assert distance(on_scream[inside], mixed[inside]) < 0.1 * distance(mixed[inside], scream[inside])
    assert distance(on_photo[inside], mixed[inside]) < 0.1 * distance(mixed[inside], scream[inside])
    assert distance(on_scream[outside], scream[outside]) < 0.1 * distance(mixed[outside], scream[outside])


def test_a_walk_may_begin_in_the_style_of_a_mask(clip, small_model, tmp_path):
    left = np.zeros((48, 64), np.float32)
    left[:, :32] = 1
    path = magstyle.stylize_video(
        clip,
        tmp_path / "b.mp4",
        checkpoint=small_model,
        which_styles=["scream", "wave"],
        walk=True,
        mask=[(left, "scream")],
    )
    frame, last = frames_of(clip)[-1], frames_of(path)[-1]
    scream, wave = painted([frame, frame], small_model, "scream", "wave")
    for side, style, other in ((slice(None, 28), scream, wave), (slice(36, None), wave, scream)):
        assert distance(last[:, side], style[:, side]) < 0.6 * distance(last[:, side], other[:, side])


def _png(image, path):
    magstyle.write_image(path, image / np.float32(255))
    return path


def test_pictures_are_steadier_than_those_of_frame_by_frame(clip, small_model, tmp_path):
    paths = [
        magstyle.stylize_video(clip, tmp_path / f"{steady}.mp4", checkpoint=small_model, steady=steady)
        for steady in (True, False)
    ]
    frames = frames_of(clip)
    motions = [optical_flow.motion(*pair) for pair in itertools.pairwise(frames)]
    steady, one_by_one = (
        np.mean(
            [
                optical_flow.warping_error(*pair, motion)
                for pair, motion in zip(itertools.pairwise(shown), motions, strict=True)
            ]
        )
        for shown in (frames_of(path) / np.float32(255) for path in paths)
    )
    assert steady < 0.8 * one_by_one


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--which_styles=wave,scream"], "must be one style or a mixture; --walk leads from each of several to the"),
        (["--which_styles=wave", "--walk"], "--walk leads from style to style, and --which_styles=wave is only one"),
        (["--which_styles=monet"], "the model has no style 'monet'"),
        (["--which_styles=photo"], "--which_styles=photo needs a --mask"),
        (["--mask=b.txt:wave"], "cannot read b.txt"),
        (["--strength=2"], "--strength=2.0 must be a number from 0 to 1.5"),
        (["--fps=0"], "--fps=0.0 must be a number from 0.001 to 1000"),
        (["--start=7"], "--start=7.0 is after the end of"),
        (
            ["--output_video=b.avi"],
            "cannot write b.avi: the name of a clip must end in one of .mp4, .mov, .mkv, .webm, .gif",
        ),
        (["--output_video=a.mp4"], "a.mp4 exists already; remove it first, or choose another --output_video"),
        (["--input_video=b.txt"], "cannot read b.txt: "),
        (["--input_video=b.m3u8"], "cannot read b.m3u8: it is not a clip that holds its own pictures"),
        (["a.mp4"], "unexpected argument a.mp4"),
    ],
)
def test_what_cannot_be_is_one_sentence_and_leaves_nothing(
    clip, small_checkpoint, refused, tmp_path, arguments, sentence
):
    (tmp_path / "b.txt").write_text("no clip")
    (tmp_path / "b.m3u8").write_text("#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\na.mp4\n")
    given = ["--input_video=a.mp4", "--output_video=b.mp4", f"--checkpoint={small_checkpoint}"]
    assert sentence in refused("stylize_video", *given, *arguments, cwd=tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"a.mp4", "b.txt", "b.m3u8"}


def test_a_missing_opencv_is_told_before_any_work(clip, small_model, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(magstyle.InputError, match=r"^OpenCV is missing; pip install"):
        magstyle.stylize_video(clip, tmp_path / "b.mp4", checkpoint=small_model)
    assert not (tmp_path / "b.mp4").exists()
    magstyle.stylize_video(clip, tmp_path / "b.mp4", checkpoint=small_model, duration=0.1, steady=False)


def test_no_names_are_answered_by_a_question(refused):
    assert "which clip, and where to?" in refused("stylize_video", "a.mp4")


def test_of_a_damaged_clip_the_frames_before_the_damage_are_painted(small_model, tmp_path):
    clip = tmp_path / "a.mp4"
    clips.write_clip(clip, 24)
    with av.open(str(clip)) as container:
        packets = sorted((packet for packet in container.demux(video=0) if packet.size), key=lambda packet: packet.pts)
    content = bytearray(clip.read_bytes())
    for packet in packets[16:]:
        content[packet.pos : packet.pos + packet.size] = b"\xff" * packet.size
    clip.write_bytes(content)
    with pytest.raises(magstyle.InputError, match=r"^cannot read .*a\.mp4: .*; .*b\.mp4 holds the frames before$"):
        magstyle.stylize_video(clip, tmp_path / "b.mp4", checkpoint=small_model)
    assert 0 < len(frames_of(tmp_path / "b.mp4")) <= 16
    assert 0 < len(clips.sound_of(tmp_path / "b.mp4")) < len(clips.sound_of(clip))


def test_of_a_clip_that_is_cut_short_the_frames_that_are_there_are_painted(small_model, tmp_path):
    clip = tmp_path / "a.mp4"
    clips.write_clip(clip, 60)
    content = clip.read_bytes()
    clip.write_bytes(content[: len(content) * 6 // 10])
    with pytest.raises(
        magstyle.InputError, match=r"a\.mp4 to its end: it is cut short by [23]\.\d seconds; .*b\.mp4 holds"
    ):
        magstyle.stylize_video(clip, tmp_path / "b.mp4", checkpoint=small_model, steady=False)
    assert 20 < len(frames_of(tmp_path / "b.mp4")) < 40


def test_what_is_there_when_it_is_interrupted_can_be_played(tmp_path, small_checkpoint):
    clips.write_clip(tmp_path / "a.mp4", 300, sound=None)
    process = processes.start(
        "stylize_video", tmp_path / "a.mp4", tmp_path / "b.mp4", f"--checkpoint={small_checkpoint}"
    )
    # Its bar says that frames are painted.
    processes.wait_for(lambda: re.search(r"[1-9]/300", process.stderr), process)
    process.send_signal(signal.SIGINT)
    assert process.wait() == 130
    count = int(
        re.search(r"^interrupted after (\d+) frames; the clip so far is written$", process.stderr, re.MULTILINE)[1]
    )
    assert 0 < count == len(frames_of(tmp_path / "b.mp4")) < 300
    assert {path.name for path in tmp_path.iterdir()} == {"a.mp4", "b.mp4"}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_any_end_from_outside_keeps_the_frames_so_far(number, clip, small_model, monkeypatch, tmp_path, capsys):
    painted, stylize = [], magstyle.Stylizer.stylize

    def stop_at_the_third(*arguments, **options):
        painted.append(arguments)
        if len(painted) == 3:
            raise KeyboardInterrupt if number == signal.SIGINT else SystemExit(128 + number)
        return stylize(*arguments, **options)

    monkeypatch.setattr(magstyle.Stylizer, "stylize", stop_at_the_third)
    with pytest.raises((KeyboardInterrupt, SystemExit)):
        magstyle.stylize_video(clip, tmp_path / "b.mp4", checkpoint=small_model, steady=False)
    assert len(frames_of(tmp_path / "b.mp4")) == 2
    assert capsys.readouterr().err.endswith("interrupted after 2 frames; the clip so far is written\n")
    assert {path.name for path in tmp_path.iterdir()} == {"a.mp4", "b.mp4"}


def test_a_terminal_that_has_gone_does_not_cost_the_frames(clip, small_model, monkeypatch, tmp_path):
    class Gone(io.StringIO):
        def write(self, text):
            raise OSError(errno.EIO, "Input/output error")

    painted, stylize = [], magstyle.Stylizer.stylize

    def stop_at_the_third(*arguments, **options):
        painted.append(arguments)
        if len(painted) == 3:
            raise SystemExit(129)
        return stylize(*arguments, **options)

    monkeypatch.setattr(magstyle.Stylizer, "stylize", stop_at_the_third)
    monkeypatch.setattr(sys, "stderr", Gone())
    with pytest.raises(SystemExit):
        magstyle.stylize_video(clip, tmp_path / "b.mp4", checkpoint=small_model, steady=False)
    assert len(frames_of(tmp_path / "b.mp4")) == 2


@pytest.mark.parametrize(
    ("name", "sound", "output", "remark"),
    [
        (
            "a.avi",
            ("pcm_s16le", 8000, "stereo"),
            "b.mp4",
            "a .mp4 file cannot hold the sound as it is, pcm_s16le; it be",
        ),
        ("a.mkv", ("ac3", 48000, "5.1(side)"), "b.webm", "it becomes libopus, 5.1"),
        ("a.mkv", ("libmp3lame", 8000, "mono"), "b.mp4", "it becomes aac"),
        ("a.mkv", ("ac3", 48000, "5.1(side)"), "b.mov", ""),
        ("a.avi", ("adpcm_ms", 11025, "mono"), "b.mkv", "it becomes aac"),
    ],
)
def test_no_sound_costs_a_painted_clip(small_checkpoint, run, tmp_path, name, sound, output, remark):
    clips.write_frames(tmp_path / name, clips.plain_frames(4), "mpeg4", sound=sound)
    result = run("stylize_video", name, output, f"--checkpoint={small_checkpoint}", "--nosteady", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert remark in result.stderr
    assert len(frames_of(tmp_path / output)) == 4
    assert clips.sound_of(tmp_path / output)


def test_a_gif_plays_as_fast_as_the_clip(small_model, tmp_path):
    frames = clips.plain_frames(30)
    clips.write_frames(tmp_path / "a.mkv", frames, times=[round(k * 1000 / 60) for k in range(30)])
    magstyle.stylize_video(tmp_path / "a.mkv", tmp_path / "b.gif", checkpoint=small_model, steady=False, image_size=16)
    with Image.open(tmp_path / "b.gif") as gif:
        delays = []
        for k in range(gif.n_frames):
            gif.seek(k)
            delays.append(gif.info["duration"])
    assert min(delays) >= 20  # Browsers show a frame of less for 100 milliseconds.
    assert sum(delays) == pytest.approx(500, abs=100)


def test_a_full_disk_is_told_even_if_ctrl_c_comes_meanwhile(clip, small_model, monkeypatch, tmp_path, capsys):
    disk_is_full, painted, written = threading.Event(), [], []
    write, stylize = codec.Writer.write, magstyle.Stylizer.stylize

    def fail_at_the_second(writer, image, time, duration):
        if written:
            disk_is_full.set()
            raise OSError(errno.ENOSPC, "No space left on device")
        write(writer, image, time, duration)
        written.append(time)

    def interrupt_at_the_third(stylizer, image, *arguments, **options):
        painted.append(image)
        if len(painted) == 3:
            assert disk_is_full.wait(60)
            raise KeyboardInterrupt
        return stylize(stylizer, image, *arguments, **options)

    monkeypatch.setattr(codec.Writer, "write", fail_at_the_second)
    monkeypatch.setattr(magstyle.Stylizer, "stylize", interrupt_at_the_third)
    with pytest.raises(magstyle.InputError, match=r"cannot write .*b\.mp4: No space left on device$"):
        magstyle.stylize_video(clip, tmp_path / "b.mp4", checkpoint=small_model, steady=False)
    assert len(written) == 1
    assert "interrupted" not in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]


def test_a_second_ctrl_c_waits_for_the_frame_that_is_being_written(clip, small_model, monkeypatch, tmp_path):
    goes_on, painted, waits = threading.Event(), [], []
    write, stylize, shutdown = codec.Writer.write, magstyle.Stylizer.stylize, ThreadPoolExecutor.shutdown

    def write_later(*arguments):
        assert goes_on.wait(60)
        write(*arguments)

    def interrupt_at_the_second(*arguments, **options):
        painted.append(arguments)
        if len(painted) == 2:
            raise KeyboardInterrupt
        return stylize(*arguments, **options)

    def interrupt_once(executor):
        waits.append(executor)
        if len(waits) == 2:
            raise KeyboardInterrupt
        if len(waits) > 2:
            goes_on.set()
        shutdown(executor)

    monkeypatch.setattr(codec.Writer, "write", write_later)
    monkeypatch.setattr(magstyle.Stylizer, "stylize", interrupt_at_the_second)
    monkeypatch.setattr(ThreadPoolExecutor, "shutdown", interrupt_once)
    with pytest.raises(KeyboardInterrupt):
        magstyle.stylize_video(clip, tmp_path / "b.mp4", checkpoint=small_model, steady=False)
    assert len(frames_of(tmp_path / "b.mp4")) == 1


def test_the_memory_of_masks_is_foreseen(clip, small_checkpoint, monkeypatch, tmp_path):
    kept = []

    def refuse(stylizer, height, width, keeps, **_):
        kept.append(keeps)
        raise magstyle.InputError("too large")

    monkeypatch.setattr(magstyle.Stylizer, "check_size", refuse)
    mask = (np.eye(48, 64, dtype=np.float32), 0)
    for masks in ([], [mask], [mask, mask]):
        with pytest.raises(magstyle.InputError, match="too large"):
            magstyle.stylize_video(clip, tmp_path / "b.mp4", checkpoint=small_checkpoint, mask=masks)
    (without, with_one, with_two), plane = kept, 48 * 64 * 4
    # Three pictures for the blend; and for each style, a mask, its shares for two frames, and four pictures.
    assert with_one - without >= (9 + 3 + 12) * plane and with_two - with_one >= (3 + 12) * plane
    assert not (tmp_path / "b.mp4").exists()
