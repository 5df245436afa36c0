"""What a picture keeps of the EXIF data of its photo."""

import contextlib

from PIL import ExifTags, Image

_Base, _IFD = ExifTags.Base, ExifTags.IFD
# What people said of the photo, and where, when and with what it was taken. Other tags describe the file's own pixels:
# its orientation, its thumbnail, the strips of a TIFF file.
_KEPT = (
    *(_Base.ImageDescription, _Base.Make, _Base.Model, _Base.Software, _Base.DateTime, _Base.Artist, _Base.Copyright),
    *(_Base.HostComputer, _Base.XResolution, _Base.YResolution, _Base.ResolutionUnit),
    *(_Base.Rating, _Base.RatingPercent, _Base.XPTitle, _Base.XPComment, _Base.XPAuthor, _Base.XPKeywords),
)
_SRGB = 1
# A JPEG file holds no more, in bytes.
_MOST = 65000


def kept(image: Image.Image, size: tuple[int, int]) -> bytes:
    """The EXIF data of an opened photo, for a picture in sRGB of this height and width; empty if they are damaged.

    Without orientation, as pictures are upright, and without the thumbnail. If they are too long for a JPEG file, the
    maker's note is left out.
    """
    with contextlib.suppress(Exception):  # Damaged EXIF data raise anything: TypeError, struct.error, OverflowError.
        given = image.getexif()
        result = Image.Exif()
        for tag in _KEPT:
            if tag in given:
                result[tag] = given[tag]
        details, place = dict(given.get_ifd(_IFD.Exif)), dict(given.get_ifd(_IFD.GPSInfo))
        details.pop(_IFD.Interop, None)  # It names the file's colour space.
        described = {_Base.ColorSpace: _SRGB, _Base.ExifImageHeight: size[0], _Base.ExifImageWidth: size[1]}
        details.update({tag: value for tag, value in described.items() if tag in details})
        if details:
            result[_IFD.Exif] = details
        if place:
            result[_IFD.GPSInfo] = place
        if not len(result):
            return b""
        encoded = result.tobytes()
        if len(encoded) > _MOST and details.pop(_Base.MakerNote, None):
            result[_IFD.Exif] = details
            encoded = result.tobytes()
        return encoded if len(encoded) <= _MOST else b""
    return b""
