"""The files of clips: those that can be read, those that can be written, and the times of their frames and sound."""

import dataclasses
import os
import pathlib
from fractions import Fraction
from typing import TYPE_CHECKING

from magstyle import files, project
from magstyle.errors import InputError

if TYPE_CHECKING:
    import av

# No frame of a clip is shown longer than this, in seconds; a longer gap between frames or sound is a wrong time.
LONGEST = 3600
# Nor does a stream go back by more than this, in seconds, unless its clock starts anew, as where clips are joined.
_BACK = Fraction(1, 4)
# FFmpeg's demuxers of files that hold their own pictures and sound. Others, such as playlists (hls, concat, dash, sdp),
# image sequences and devices, open whatever a file names: other files, addresses, cameras.
_DEMUXERS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,mpegvideo,asf,flv,live_flv,kux,ogg,rm,ivr,mxf,gxf,lxf,wtv,"
    "ty,dhav,nut,nsv,nuv,dv,swf,h261,h263,h264,hevc,vvc,evc,m4v,mjpeg,mjpeg_2000,smjpeg,vc1,vc1test,dnxhd,dirac,av1,obu,"
    "ivf,apv,cavsvideo,avs2,avs3,ipu,yuv4mpegpipe,gif,apng,jpegxl_anim,jpeg_pipe,png_pipe,webp_pipe,gif_pipe,bmp_pipe,"
    "tiff_pipe,filmstrip,flic,4xm,amv,anm,avs,bethsoftvid,bfi,bink,bmv,c93,cdg,cdxl,cine,dsicin,dxa,ea,film_cpk,frm,gdv,"
    "hnm,idcin,iff,ifv,ipmovie,iss,iv8,jv,lmlm4,lvf,mgsts,mm,moflex,msnwctcp,mtv,mv,mvi,mxg,paf,pmp,psxstr,pva,r3d,rl2,"
    "roq,rpl,ser,sga,siff,smk,smush,thp,tiertexseq,tmv,usm,vividas,vivo,vmd,wc3movie,wsvqa,xmv,yop"
)
_OPTIONS = {"format_whitelist": _DEMUXERS, "protocol_whitelist": "file"}


@dataclasses.dataclass(frozen=True)
class Format:
    """How a file with some extension is written: FFmpeg's muxer, its encoder of pictures, pixel format and settings."""

    muxer: str
    encoder: str
    pixels: str
    options: dict[str, str]
    # The encoder of sound that the file cannot hold unchanged; None if it can hold no sound.
    sound_codec: str | None
    # Both sides of the pictures must be multiples of this.
    multiple: int = 1
    # All times must be multiples of this, in seconds; None if they can be any.
    time_base: Fraction | None = None
    # How long a frame is shown at least, in seconds.
    shortest: Fraction = Fraction(0)


# Without B-frames, frames are stored in the order in which they are shown. With them, the duration that the file gives
# for the last frame is that of another one.
_H264 = ("libx264", "yuv420p", {"crf": "17", "preset": "veryfast", "bf": "0"})
_VP9 = ("libvpx-vp9", "yuv420p", {"crf": "24", "b": "0", "deadline": "realtime", "cpu-used": "6", "row-mt": "1"})
FORMATS = {
    ".mp4": Format("mp4", *_H264, "aac", multiple=2),
    ".mov": Format("mov", *_H264, "aac", multiple=2),
    ".mkv": Format("matroska", *_H264, "aac", multiple=2),
    ".webm": Format("webm", *_VP9, "libopus"),
    # Browsers show a frame of less than 20 milliseconds for 100.
    ".gif": Format("gif", "gif", "pal8", {}, None, time_base=Fraction(1, 100), shortest=Fraction(1, 50)),
}


def format_of(path: str | os.PathLike) -> Format:
    """The format of a clip to write, by its extension, which `check_writable` accepts."""
    return FORMATS[pathlib.Path(path).suffix.lower()]


def check_writable(path: str | os.PathLike) -> None:
    """Raises an InputError unless a clip can be written to `path`, going by its name, and PyAV is there."""
    files.check_name(path)
    suffix = pathlib.Path(path).suffix.lower()
    if suffix not in FORMATS:
        raise InputError(f"cannot write {path}: the name of a clip must end in one of {', '.join(FORMATS)}")
    with project.needing("av"):
        import av  # noqa: F401


def open_clip(path: str | os.PathLike) -> "av.container.InputContainer":
    """Opens a clip for reading; neither the file nor FFmpeg opens any other.

    Raises:
        InputError: for a file that is missing or is not a clip that holds its own pictures and sound.
    """
    with project.needing("av"):
        import av

    with files.reading(path, "video"):
        if os.path.isdir(path):
            raise InputError(f"cannot read {path}: it is a folder")
        try:
            # Without "file:", a name with a colon in it would be taken for an address.
            return av.open(f"file:{os.fspath(path)}", metadata_errors="ignore", container_options=_OPTIONS)
        except av.ArgumentError as error:  # The file is of a kind that is not listed.
            raise InputError(f"cannot read {path}: it is not a clip that holds its own pictures") from error


class Clock:
    """The times of a stream, which go on evenly where those in the file jump.

    Args:
        start: a time in the file near which the stream starts, in seconds; None if that is unknown.

    Attributes:
        jumps: the number of jumps so far.
    """

    def __init__(self, start: Fraction | None) -> None:
        self._last = start
        self._shift = Fraction(0)
        self.jumps = 0

    def read(self, time: Fraction, step: Fraction) -> Fraction:
        """A time without the jumps before it, in seconds.

        Args:
            time: the time in the file.
            step: how long after the time before it is, if it is there that the file's times jump.
        """
        shifted = time + self._shift
        if self._last is not None and not -_BACK <= shifted - self._last <= LONGEST:
            shifted = self._last + step
            self._shift = shifted - time
            self.jumps += 1
        self._last = shifted if self._last is None else max(self._last, shifted)
        return shifted

    @property
    def shift(self) -> Fraction:
        """The sum of all jumps so far, in seconds, which is added to times in the file."""
        return self._shift
