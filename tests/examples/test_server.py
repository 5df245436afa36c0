"""The web service of examples/server; tests/test_docs.py tries the requests of docs/server.md."""

import http.client
import io
import json
import os
import re
import runpy
import struct
import urllib.error
import urllib.request
import zlib

import numpy as np
import pytest
from PIL import Image

from magstyle.data import images
from magstyle.painting.stylizer import Stylizer
from tests import servers
from tests.places import ROOT
from tests.samples import picture

FOLDER = ROOT / "examples" / "server"


def png(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def claiming(width: int, height: int) -> bytes:
    """A PNG file that says it has this size, but holds a smaller image."""
    header = b"IHDR" + struct.pack(">II", width, height) + PHOTO[24:29]
    return PHOTO[:12] + header + struct.pack(">I", zlib.crc32(header)) + PHOTO[33:]


PHOTO = png(picture(0, (48, 40)))


@pytest.fixture(scope="module")
def address():
    with servers.web_service() as address:
        yield address


@pytest.fixture
def service(monkeypatch):
    """The names in server.py."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", Image.MAX_IMAGE_PIXELS)  # The service sets it for its process.
    return runpy.run_path(str(FOLDER / "server.py"))


def post(address: str, query: str, photo: bytes = PHOTO) -> tuple[int, str, bytes]:
    """Status, type and body of the answer to a photo."""
    try:
        with urllib.request.urlopen(f"{address}/?{query}", photo) as reply:
            return reply.status, reply.headers.get_content_type(), reply.read()
    except urllib.error.HTTPError as error:
        return error.code, error.headers.get_content_type(), error.read()


def test_a_photo_comes_back_as_stylizer_paints_it(address):
    status, kind, body = post(address, "style=munch-the-scream:0.75&style=7:0.5&strength=0.5&image_size=32")
    assert (status, kind, body[:3]) == (200, "image/jpeg", b"\xff\xd8\xff")
    photo = images.read_image(io.BytesIO(PHOTO), 32, "photo")
    expected = Stylizer("painters").stylize(photo, {"munch-the-scream": 0.75, 7: 0.5}, strength=0.5)
    expected = images.read_image(io.BytesIO(images.encode(expected, ".jpg")), name="expected")
    np.testing.assert_allclose(images.read_image(io.BytesIO(body), name="picture"), expected, atol=2 / 255)


@pytest.mark.parametrize(
    ("query", "photo", "sentence"),
    [
        ("style=munch-the-scream", b"no image", "cannot read the photo: it is not a JPEG, PNG,"),
        ("style=munch-the-scream", b"", "cannot read the photo: it is not a JPEG, PNG,"),
        ("style=munch-the-scream", PHOTO[:200], "cannot read the photo: "),
        ("style=munch-the-scream", claiming(20000, 20000), "20000 x 20000 are 400000000 pixels"),
        ("style=3&image_size=64", claiming(20000, 20000), "20000 x 20000 are 400000000 pixels"),
        ("style=3", png(Image.new("1", (65501, 1))), "no side of a .jpg file can be longer than 65500 pixels"),
        ("", PHOTO, "the request names no style"),
        ("style=munsch", PHOTO, "the model has no style 'munsch'; its styles are"),
        ("style=99", PHOTO, "the model has no style 99"),
        (f"style={'9' * 5000}", PHOTO, "is not a number"),
        (
            "style=munch-the-scream:nan",
            PHOTO,
            "the weight of style 'munch-the-scream' must be a number from -100000 to 100000, not nan",
        ),
        ("style=munch-the-scream:much", PHOTO, "'much' is not a number"),
        ("style=3&strength=9", PHOTO, "strength=9.0 must be a number from 0 to 1.5"),
        ("style=3&image_size=1.5", PHOTO, "'1.5' is not a number"),
    ],
)
def test_bad_input_is_answered_by_one_sentence(address, query, photo, sentence):
    status, kind, body = post(address, query, photo)
    assert (status, kind) == (400, "text/plain")
    assert sentence in body.decode()
    assert body.count(b"\n") == 1


@pytest.fixture(scope="module")
def by_paintings():
    """The address of a service that paints in the style of any painting."""
    with servers.web_service("anything") as address:
        yield address


def post_form(address: str, query: str = "", **files: bytes) -> tuple[int, bytes]:
    """Status and body of the answer to a form with these files."""
    head = '--cut\r\nContent-Disposition: form-data; name="{0}"; filename="{0}"\r\nContent-Type: image/png\r\n\r\n'
    body = b"".join(head.format(name).encode() + content + b"\r\n" for name, content in files.items()) + b"--cut--\r\n"
    headers = {"Content-Type": "multipart/form-data; boundary=cut"}
    try:
        with urllib.request.urlopen(urllib.request.Request(f"{address}/?{query}", body, headers)) as reply:
            return reply.status, reply.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def test_a_photo_is_painted_like_a_painting(by_paintings):
    painting = picture(1, (90, 70))
    status, body = post_form(by_paintings, "strength=0.5", photo=PHOTO, painting=png(painting))
    expected = Stylizer("anything").stylize(images.read_image(io.BytesIO(PHOTO), name="photo"), painting, strength=0.5)
    expected = images.read_image(io.BytesIO(images.encode(expected, ".jpg")), name="expected")
    assert status == 200, body
    np.testing.assert_allclose(images.read_image(io.BytesIO(body), name="picture"), expected, atol=2 / 255)
    with urllib.request.urlopen(f"{by_paintings}/styles") as reply:
        assert reply.read() == b""


@pytest.mark.parametrize(
    ("query", "files", "sentence"),
    [
        ("", {"photo": PHOTO}, "the request has no painting"),
        (f"style={ROOT}/examples/coffee.jpg", {"photo": PHOTO}, "the request has no painting"),
        ("", {"photo": PHOTO, "painting": b"Dear diary"}, "cannot read the painting: it is not a JPEG"),
        (
            "",
            {"photo": PHOTO, "painting": png(Image.new("RGB", (40, 40)))},
            "the painting shows no style: it has only one",
        ),
        ("", {"painting": PHOTO}, "cannot read the photo: it is not a JPEG"),
    ],
)
def test_a_painting_that_cannot_be_used_is_answered_by_one_sentence(by_paintings, query, files, sentence):
    status, body = post_form(by_paintings, query, **files)
    assert (status, body.count(b"\n")) == (400, 1)
    assert sentence in body.decode()


def test_a_form_is_taken_apart_to_the_last_byte_and_a_broken_one_is_no_photo(address, service):
    content = np.random.default_rng(0).bytes(20_000) + b"\r\n\n\r\x0b\x1c\x85\r\n"
    body = b'--a\r\nContent-Disposition: form-data; name="photo"\r\n\r\n' + content + b"\r\n--a--\r\n"
    assert service["files_of"](body, "multipart/form-data; boundary=a") == {"photo": content}
    for kind in ("multipart/form-data", "multipart/form-data; boundary=b"):
        assert not service["files_of"](body, kind).get("photo")
    assert post_form(address, "style=3", photo=PHOTO)[0] == 200
    assert "the request names no style" in post_form(address, "style=3", photo=PHOTO, painting=PHOTO)[1].decode()


def test_a_file_that_is_too_large_is_refused_unread(address):
    connection = http.client.HTTPConnection(address.removeprefix("http://"))
    connection.putrequest("POST", "/?style=3")
    connection.putheader("Content-Length", "20000001")
    connection.endheaders()
    reply = connection.getresponse()
    assert (reply.status, reply.read()) == (413, b"a photo may have 20000000 bytes, not 20000001\n")


def test_an_unknown_address_is_answered_by_those_that_exist(address):
    with pytest.raises(urllib.error.HTTPError) as error:
        urllib.request.urlopen(f"{address}/paint")
    assert (error.value.code, error.value.read()) == (404, b"there are only POST /, GET /styles and GET /health\n")


def test_a_photo_beyond_the_queue_is_refused_at_once_and_health_checks_are_answered(service):
    request = {"REQUEST_METHOD": "POST", "PATH_INFO": "/", "QUERY_STRING": "style=3", "CONTENT_LENGTH": str(len(PHOTO))}
    for _ in range(service["MOST_PHOTOS"]):
        service["places"].acquire()
    assert service["answer"]({**request, "wsgi.input": io.BytesIO(PHOTO)})[0] == "503 Service Unavailable"
    assert service["answer"]({"REQUEST_METHOD": "GET", "PATH_INFO": "/health"})[0] == "200 OK"
    # A place is free again after a picture, and after a refusal.
    service["places"].release()
    for body, status in ((PHOTO, "200 OK"), (b"", "400 Bad Request"), (PHOTO, "200 OK")):
        assert service["answer"]({**request, "wsgi.input": io.BytesIO(body)})[0] == status


def test_the_container_has_the_limits_and_the_files_of_the_service(service):
    dockerfile = (FOLDER / "Dockerfile").read_text(encoding="utf-8")
    (command,) = (json.loads(line) for line in re.findall(r"^CMD (.*)$", dockerfile, re.MULTILINE))
    flags = dict(argument.removeprefix("--").split("=") for argument in command if "=" in argument)
    assert int(flags["max-request-body-size"]) == service["LARGEST_FILE"]
    assert int(flags["threads"]) > service["MOST_PHOTOS"]
    assert command[-1] == "server:application"
    for line in re.findall(r"^COPY (?!--)(.*) \S+$", dockerfile, re.MULTILINE):
        for name in line.split():
            assert os.path.exists(ROOT / name), name
