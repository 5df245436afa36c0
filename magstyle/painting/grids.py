"""Pictures side by side: a model's styles on photos, sheets, and labelled rows."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from magstyle.data import images
from magstyle.painting.stylizer import Stylizer

if TYPE_CHECKING:
    from magstyle.data.styles import Style

_LABEL_HEIGHT = 24
_TILE_SIDE = 320


def style_grid(stylizer: Stylizer, photos: np.ndarray, paintings: "Sequence[Style]") -> np.ndarray:
    """Paintings along the top, under their names; below, each photo and its picture in every style.

    Args:
        stylizer: of the model, with as many styles as paintings.
        photos: [N, S, S, 3] in [0, 1].
        paintings: shown as squares.

    Returns:
        RGB [H, W, 3] in [0, 1].
    """
    side = photos.shape[1]
    thumbnails = paintings_as_squares(paintings, side)
    rows = [[np.ones_like(photos[0]), *thumbnails]]
    for photo in photos:
        rows.append([photo, *(stylizer.stylize(photo, stylizer.style_weights(k)) for k in range(len(paintings)))])
    grid = np.concatenate([np.concatenate(row, axis=1) for row in rows])
    names = np.concatenate([_label(name, side) for name in ["", *(painting.name for painting in paintings)]], axis=1)
    return np.concatenate([names, grid])


def paintings_as_squares(paintings: "Sequence[Style]", side: int) -> np.ndarray:
    """The centre of each painting, [N, side, side, 3] in [0, 1]."""
    crops = [images.training_crop(painting.jpeg, painting.name, side) for painting in paintings]
    return images.to_float(np.stack(crops))


def tile(image: np.ndarray, name: str) -> np.ndarray:
    """An image [H, W, 3] in [0, 1] under its name, its longer side scaled to 320 pixels, for `sheet`."""
    picture = Image.fromarray(images.to_uint8(image))
    scale = _TILE_SIDE / max(picture.size)
    picture = picture.resize([max(1, round(side * scale)) for side in picture.size], Image.Resampling.LANCZOS)
    pixels = images.to_float(picture)
    return np.concatenate([_label(name, picture.width), pixels])


def sheet(tiles: Sequence[np.ndarray]) -> np.ndarray:
    """Tiles of one size [H, W, 3], row by row, on white, in about the shape of a page: [rows H, columns W, 3]."""
    height, width, _ = tiles[0].shape
    count = len(tiles)
    across = math.sqrt(1.4 * count * height / width)
    columns = min(range(max(1, int(across)), int(across) + 3), key=lambda n: (-count % n, n))
    blank = [np.ones_like(tiles[0])] * (-count % columns)
    tiles = [*tiles, *blank]
    return np.concatenate([np.concatenate(tiles[i : i + columns], axis=1) for i in range(0, len(tiles), columns)])


def every_style(stylizer: Stylizer, photo: np.ndarray, name: str) -> np.ndarray:
    """A sheet of a photo and its pictures in every style, under their numbers and names.

    Args:
        stylizer: of the model.
        photo: [H, W, 3] in [0, 1].
        name: that of the photo.

    Returns:
        RGB [H, W, 3] in [0, 1].
    """
    from tqdm import tqdm

    names = stylizer.network.style_names
    pictures = (stylizer.stylize(photo, number) for number in range(len(names)))
    labels = (f"{number} {style}" for number, style in enumerate(names))
    painted = tqdm(zip(pictures, labels, strict=True), total=len(names), unit="picture")
    return sheet([tile(photo, name), *(tile(picture, label) for picture, label in painted)])


def figure(rows: Sequence[Sequence[tuple[str, np.ndarray]]], margin: int = 8) -> np.ndarray:
    """Rows of images under their labels, on white, with margins.

    Args:
        rows: labels and images [h, w, 3] in [0, 1], of any sizes. Each image is scaled to fit into a cell of the first
            image's size, and centred there.
        margin: between cells, in pixels.

    Returns:
        RGB [H, W, 3] in [0, 1].
    """
    height, width, _ = rows[0][0][1].shape
    cell_height, cell_width = height + margin, width + margin
    labels = [_LABEL_HEIGHT * any(label for label, _ in row) for row in rows]
    columns = max(map(len, rows))
    sheet = np.ones((sum(labels) + cell_height * len(rows) + margin, cell_width * columns + margin, 3), np.float32)
    top = margin
    for row, label_height in zip(rows, labels, strict=True):
        for column, (label, image) in enumerate(row):
            left = margin + column * cell_width
            if label:
                sheet[top : top + label_height, left : left + width] = _label(label, width)
            fitted = _fit(image, height, width)
            y = top + label_height + (height - fitted.shape[0]) // 2
            x = left + (width - fitted.shape[1]) // 2
            sheet[y : y + fitted.shape[0], x : x + fitted.shape[1]] = fitted
        top += label_height + cell_height
    return sheet


def _fit(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """An image scaled to fit into this height and width."""
    if image.shape[:2] == (height, width):
        return image
    scale = min(height / image.shape[0], width / image.shape[1])
    size = [max(1, round(side * scale)) for side in image.shape[1::-1]]
    return images.to_float(Image.fromarray(images.to_uint8(image)).resize(size, Image.Resampling.LANCZOS))


def memory_of_sheet(tiles: int) -> int:
    """The bytes that a number of tiles take, together with their sheet."""
    return 2 * tiles * (_TILE_SIDE + _LABEL_HEIGHT) * _TILE_SIDE * 3 * 4


def _label(text: str, width: int) -> np.ndarray:
    """Text in black on white, [24, width, 3] in [0, 1], truncated to fit.

    Blanks replace characters in the names of files and styles that no font shows, such as line breaks.
    """
    from PIL import ImageDraw, ImageFont  # Imported here because most pictures need no label.

    text = "".join(character if character.isprintable() else " " for character in text)
    label = Image.new("RGB", (width, _LABEL_HEIGHT), "white")
    draw = ImageDraw.Draw(label)
    font = ImageFont.load_default(14)
    if draw.textlength(text, font) > width - 8:
        while text and draw.textlength(f"{text}…", font) > width - 8:
            text = text[:-1]
        text += "…"
    draw.text((width / 2, _LABEL_HEIGHT / 2), text, "black", font, anchor="mm")
    return images.to_float(label)
