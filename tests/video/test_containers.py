"""The files that are clips: those that hold their own pictures and sound."""

import re

import av
import pytest

from magstyle.errors import InputError
from magstyle.video import codec
from tests import clips


@pytest.fixture
def secret(tmp_path):
    clips.write_frames(tmp_path / "secret.ts", clips.plain_frames(4), "libx264")
    return tmp_path / "secret.ts"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("live.m3u8", "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nsecret.ts\n"),
        ("live.mp4", "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nsecret.ts\n"),
        ("list.mp4", "ffconcat version 1.0\nfile 'secret.ts'\n"),
        ("list.ffconcat", "ffconcat version 1.0\nfile 'secret.ts'\n"),
        (
            "a.mpd",
            '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" '
            'profiles="urn:mpeg:dash:profile:full:2011" mediaPresentationDuration="PT1S"><Period>'
            '<AdaptationSet mimeType="video/mp2t"><Representation id="1" bandwidth="1"><BaseURL>secret.ts</BaseURL>'
            "</Representation></AdaptationSet></Period></MPD>",
        ),
        ("a.sdp", "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=a\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 33\n"),
        ("a.ism", "<SmoothStreamingMedia/>"),
        ("secret%d.ts", "no clip"),
        ("a.txt", "hello\n" * 99),
    ],
)
def test_what_opens_other_files_is_no_clip(secret, tmp_path, name, content):
    (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match=rf"^cannot read .*{re.escape(name)}: "):
        codec.Clip(tmp_path / name)


def test_a_clip_whose_pictures_are_in_another_file_has_none(secret, tmp_path):
    clips.write_clip(tmp_path / "a.mov", 4, sound=None)
    content = (tmp_path / "a.mov").read_bytes()
    inside = b"\x00\x00\x00\x0curl \x00\x00\x00\x01"
    assert content.count(inside) == 1
    # An alias to a file beside the clip takes more room; what follows is moved by it.
    alias = _alias(b"secret.ts")
    outside = (len(alias) + 12).to_bytes(4, "big") + b"alis" + bytes(4) + alias
    changed = content.replace(inside, outside)
    for box in (b"moov", b"trak", b"mdia", b"minf", b"dinf", b"dref"):
        place = changed.index(box) - 4
        size = int.from_bytes(changed[place : place + 4], "big") + len(outside) - len(inside)
        changed = changed[:place] + size.to_bytes(4, "big") + changed[place + 4 :]
    (tmp_path / "a.mov").write_bytes(changed)
    with pytest.raises(InputError, match=r"^cannot read .*a\.mov: there are no pictures in it$"):
        codec.Clip(tmp_path / "a.mov")


def _alias(name: bytes) -> bytes:
    """What a QuickTime file says of a file beside it."""
    record = bytearray(150)
    record[10] = 4
    record[11:15] = b"disk"
    record[50] = len(name)
    record[51 : 51 + len(name)] = name
    record[130:132] = (1).to_bytes(2, "big")  # Folders from here up to the one that both are in, and down again.
    record[132:134] = (1).to_bytes(2, "big")
    path = b"./" + name
    end = b"\x00\x02" + len(path).to_bytes(2, "big") + path + bytes(len(path) % 2) + b"\xff\xff\x00\x00"
    return bytes(record) + end


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".webm", ".gif"])
def test_every_file_that_is_written_can_be_read(tmp_path, copy, suffix):
    clips.write_clip(tmp_path / "a.mp4", 3)
    path, _ = copy(tmp_path / "a.mp4", suffix)
    with codec.Clip(path) as clip:
        assert len(list(clip.frames())) == 3
    with av.open(str(path)) as container:
        assert suffix[1:] in container.format.name.replace("matroska", "mkv")
