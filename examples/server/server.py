#!/usr/bin/env python3
"""A web service that paints photos, without TensorFlow. docs/server.md shows how to start it and how to send photos."""

import email
import io
import os
import threading
import urllib.parse
import wsgiref.simple_server
from collections.abc import Callable, Iterable
from typing import TypeVar

import numpy as np
from PIL import Image

from magstyle import InputError, Stylizer, read_image
from magstyle.data import images

LARGEST_FILE = 20_000_000  # In bytes.
MOST_PHOTOS = 3  # One is painted, and two wait. Waitress needs one more thread, for health checks.
# magstyle refuses photos of more than twice as many pixels before it decodes them, unless image_size scales them down.
Image.MAX_IMAGE_PIXELS = 12_000_000
TEXT = "text/plain; charset=utf-8"
Number = TypeVar("Number", int, float)

stylizer = Stylizer(os.environ.get("CHECKPOINT", "painters"))
places, turn = threading.BoundedSemaphore(MOST_PHOTOS), threading.Lock()


def application(environ: dict, start_response: Callable) -> Iterable[bytes]:
    """The service, in Python's interface for web servers (WSGI)."""
    status, kind, body = answer(environ)
    start_response(status, [("Content-Type", kind), ("Content-Length", str(len(body)))])
    return [body]


def answer(environ: dict) -> tuple[str, str, bytes]:
    """Status, type and body of the answer to a request."""
    match environ["REQUEST_METHOD"], environ["PATH_INFO"]:
        case "GET", "/health":
            return "200 OK", TEXT, b"ok\n"
        case "GET", "/styles":
            names = () if stylizer.network.predictor else stylizer.network.style_names
            return "200 OK", TEXT, "".join(f"{name}\n" for name in names).encode()
        case "POST", "/":
            return picture(environ)
        case _:
            return "404 Not Found", TEXT, b"there are only POST /, GET /styles and GET /health\n"


def picture(environ: dict) -> tuple[str, str, bytes]:
    """The answer to a photo."""
    size = int(environ.get("CONTENT_LENGTH") or 0)
    if size > LARGEST_FILE:
        return "413 Content Too Large", TEXT, f"a photo may have {LARGEST_FILE} bytes, not {size}\n".encode()
    if not places.acquire(blocking=False):
        return "503 Service Unavailable", TEXT, b"too many photos are waiting; try again later\n"
    try:
        files = files_of(environ["wsgi.input"].read(size), environ.get("CONTENT_TYPE", ""))
        query = urllib.parse.parse_qs(environ["QUERY_STRING"])
        with turn:  # A photo takes all cores anyway, and alone it knows how much memory is free.
            return "200 OK", "image/jpeg", painted(files, query)
    except InputError as error:
        return "400 Bad Request", TEXT, f"{error}\n".encode()
    finally:
        places.release()


def files_of(body: bytes, content_type: str) -> dict[str, bytes]:
    """The files in a request: those of a form by their fields, or the photo alone."""
    if not content_type.startswith("multipart/form-data"):
        return {"photo": body}
    form = email.message_from_bytes(f"Content-Type: {content_type}\r\n\r\n".encode("latin-1") + body)
    fields = form.get_payload() if form.is_multipart() else []
    return {field.get_param("name", header="content-disposition"): field.get_payload(decode=True) for field in fields}


def painted(files: dict[str, bytes], query: dict[str, list[str]]) -> bytes:
    """The picture, a JPEG file, of a photo's file in the styles, strength and image_size of a query."""
    style = style_of(files.get("painting"), query.get("style", []))
    image_size = number(query["image_size"][0], int) if "image_size" in query else None
    image = read_image(io.BytesIO(files.get("photo") or b""), image_size, name="the photo")
    images.check_writable("picture.jpg", *image.shape[:2])
    strength = number(query.get("strength", ["1"])[0], float)
    return images.encode(stylizer.stylize(image, style, strength=strength), ".jpg")


def style_of(painting: bytes | None, named: list[str]) -> dict[str | int, float] | np.ndarray:
    """The style of a painting's file, or the mixture of the styles that are named."""
    if stylizer.network.predictor:  # It would take names for those of files on this machine.
        if painting is None:
            raise InputError("the request has no painting")
        image = read_image(io.BytesIO(painting), name="the painting")
        try:
            return stylizer.style_weights(image)
        except InputError as error:
            raise InputError(f"the painting shows no style: {error}") from None
    if painting is not None or not named:
        raise InputError("the request names no style; GET /styles lists them")
    return dict(map(style_and_weight, named))


def style_and_weight(text: str) -> tuple[str | int, float]:
    """A style by name or number and its weight in a mixture, such as `munch-the-scream:0.6`."""
    style, _, weight = text.partition(":")
    return number(style, int) if style.isdecimal() else style, number(weight or "1", float)


def number(text: str, kind: type[Number]) -> Number:
    """A number in a query."""
    try:
        return kind(text)
    except ValueError:
        raise InputError(f"{text!r} is not a number") from None


if __name__ == "__main__":  # For one user. In production, waitress or another server of WSGI calls `application`.
    with wsgiref.simple_server.make_server("127.0.0.1", int(os.environ.get("PORT", "8080")), application) as server:
        print(f"http://127.0.0.1:{server.server_port}", flush=True)
        server.serve_forever()
