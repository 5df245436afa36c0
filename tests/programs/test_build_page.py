"""The page, as Chromium shows it."""

import contextlib
import functools
import http.server
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
import wave

import numpy as np
import pytest
from PIL import Image

from magstyle.data import images
from magstyle.export import page
from magstyle.models.transformer import StyleTransformer
from magstyle.painting import margin
from magstyle.painting.stylizer import Stylizer
from tests.places import ENV, ROOT
from tests.processes import run, start
from tests.samples import grainy, picture

SIZE = 256
CAMERA = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
TIMES = "\N{MULTIPLICATION SIGN}"
# Python and JavaScript must agree on these.
CASES = json.loads((ROOT / "tests" / "export" / "strokes_cases.json").read_text())


@pytest.fixture(scope="module")
def site(tmp_path_factory, small_checkpoint):
    """The page of the small network."""
    folder = tmp_path_factory.mktemp("sites") / "new" / "site"
    process = start(
        "build_page",
        f"--checkpoint={small_checkpoint}",
        f"--output_dir={folder}",
        f"--image_size={SIZE - 3}",
        f"--preview_size={SIZE // 8}",
    )
    process.wait()
    if "cannot fetch LiteRT.js" in process.stderr:
        pytest.skip("needs npm and a connection")
    assert (process.returncode, process.stdout) == (0, f"{folder}/index.html\n"), process.stderr
    assert f"--image_size={SIZE - 3} is rounded to {SIZE}, a multiple of 4" in process.stderr
    return folder


@pytest.mark.skipif(not shutil.which("make"), reason="needs make")
def test_make_page_says_that_a_port_is_taken_before_it_builds(tmp_path):
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").symlink_to(sys.executable)
    (tmp_path / "installed").touch()
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        command = ["make", "page", f"VENV={tmp_path}", f"PORT={port}"]
        # As from a shell, also where `make test` has started this.
        env = {name: value for name, value in ENV.items() if not name.startswith("MAKE") and name != "MFLAGS"}
        result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=env)
    assert result.returncode and result.stdout == ""
    assert result.stderr.splitlines()[0] == (
        f"Port {port} cannot be had; another program may use it. Choose another, as by: make page PORT={port + 1}"
    )


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}/"


class Silent(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


@pytest.fixture
def server(request, site, small_model, tmp_path):
    """Serves the page, or one of pictures of the side in its parameter, as `python -m http.server` does."""
    if hasattr(request, "param"):
        site = shutil.copytree(site, tmp_path / "page")
        page.build_page(small_model, site, image_size=request.param, preview_size=SIZE // 8)
    with serve(site) as server:
        yield server


@contextlib.contextmanager
def serve(site):
    with Server(("127.0.0.1", 0), functools.partial(Silent, directory=site)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


class Browser:
    """A Chromium that sees the page for the first time, used as people use it."""

    def __init__(self, folder, url, *arguments):
        from selenium import webdriver
        from selenium.webdriver.chrome.service import Service

        self.folder, self.requests = folder, folder / "requests.json"
        options = webdriver.ChromeOptions()
        options.binary_location = shutil.which("chromium")
        for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", *arguments):
            options.add_argument(argument)
        options.add_argument(f"--log-net-log={self.requests}")
        options.add_experimental_option("prefs", {"download.default_directory": str(folder)})
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        self.driver = webdriver.Chrome(options, Service(shutil.which("chromedriver")))
        self.show(1280, 800)
        self.open(url)

    def open(self, url):
        self.driver.get(url)
        self.wait_for("Ready.")

    def show(self, width, height):
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)

    def wait_for(self, status, seconds=100):
        end = time.monotonic() + seconds
        while (found := self.run("return document.querySelector('#status')?.textContent")) != status:
            assert time.monotonic() < end, f"{found!r} is not {status!r}: {self.errors()}"
            time.sleep(0.05)

    def wait(self, script, seconds=100):
        """Until it returns something true, which is returned."""
        end = time.monotonic() + seconds
        while not (found := self.run(script)):
            assert time.monotonic() < end, (script, self.run("return document.body.innerText"), self.errors())
            time.sleep(0.05)
        return found

    def wait_for_picture(self, width, height):
        self.wait_for(f"Painted: {width} {TIMES} {height} pixels.")

    def run(self, script, *args):
        return self.driver.execute_script(script, *args)

    def find(self, selector):
        return self.driver.find_element("css selector", selector)

    def take(self, path):
        self.find("#file").send_keys(str(path))

    def pick(self, style):
        self.find(f"[name=style][value='{style}']").click()

    def slide(self, selector, value):
        script = "arguments[0].value = arguments[1]; arguments[0].dispatchEvent(new Event('input'));"
        self.run(script, self.find(selector), value)

    def save(self, kind, name):
        """The picture in the downloads."""
        self.find(f"[data-save='{kind}']").click()
        (path,) = self.downloads(name)
        return images.read_image(path)

    def downloads(self, *names):
        """Which of the files have been downloaded, as soon as there is one."""
        end = time.monotonic() + 100
        while not (paths := [self.folder / name for name in names if (self.folder / name).exists()]):
            assert time.monotonic() < end, (os.listdir(self.folder), self.errors())
            time.sleep(0.05)
        return paths

    def press(self, key, shift=False):
        from selenium.webdriver.common.action_chains import ActionChains

        chain = ActionChains(self.driver)
        if shift:
            chain.key_down("\ue008").send_keys(key).key_up("\ue008").perform()
        else:
            chain.send_keys(key).perform()

    def focused(self):
        """What a screen reader says of what has the focus, which must be visible."""
        element = self.driver.switch_to.active_element
        ring = "return getComputedStyle(arguments[0].closest('.tile') ?? arguments[0]).outlineStyle"
        assert self.run(ring, element) == "solid", element.accessible_name
        return element.accessible_name

    def errors(self):
        return [entry["message"] for entry in self.driver.get_log("browser") if entry["level"] == "SEVERE"]

    def quit(self):
        self.driver.quit()


@pytest.fixture
def browser(request, server, tmp_path):
    with open_browser(tmp_path, server.url, *getattr(request, "param", [])) as browser:
        yield browser


@contextlib.contextmanager
def open_browser(folder, url, *arguments):
    if not (shutil.which("chromium") and shutil.which("chromedriver")):
        pytest.skip("needs chromium: apt-get install chromium chromium-driver")
    browser = Browser(folder, url, *arguments)
    yield browser
    browser.quit()


@pytest.fixture(scope="module")
def browser_with_camera(site, tmp_path_factory):
    """A Chromium that shows as a camera a disc that turns, for all tests that need no other."""
    with serve(site) as server, open_browser(tmp_path_factory.mktemp("downloads"), server.url, *CAMERA) as browser:
        browser.url = server.url
        yield browser


@pytest.fixture
def live(browser_with_camera):
    """The page, opened anew; in it, `track` is that of the camera, and `painted` counts frames."""
    browser_with_camera.errors()  # Forgets those of earlier tests.
    browser_with_camera.open(browser_with_camera.url)
    browser_with_camera.run("""
        const { getUserMedia } = MediaDevices.prototype;
        navigator.mediaDevices.getUserMedia = async function (wanted) {
            const stream = await getUserMedia.call(this, wanted);
            [window.track] = stream.getVideoTracks();
            return stream;
        };
        const { putImageData } = CanvasRenderingContext2D.prototype;
        window.painted = 0;
        CanvasRenderingContext2D.prototype.putImageData = function (...given) {
            if (this.canvas.id === "picture") window.painted++;
            return putImageData.apply(this, given);
        };
    """)
    return browser_with_camera


@pytest.fixture
def photo(tmp_path):
    """A photo that needs no scaling for the picture that is saved, and that the network takes only reflected."""
    path = tmp_path / "photo.png"
    picture(0, (63, 46)).save(path)
    return path


def painted_by_python(model, photo, mixture, **brush):
    """The picture without a margin, which the page does without."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(margin, "MARGIN", 0)
        return Stylizer(model).stylize(images.read_image(photo), mixture, **brush)


def test_the_page_paints_what_python_paints_and_asks_no_other_host(browser, server, small_model, photo):
    browser.take(photo)
    browser.pick(1)
    browser.wait_for_picture(63, 46)
    found = browser.save("image/png", "photo-wave.png")
    assert np.abs(found - painted_by_python(small_model, photo, {"wave": 1})).mean() <= 1 / 255

    browser.find("#mix").click()
    browser.pick(2)
    browser.slide("#sliders input", 20)
    shares = [output.text for output in browser.driver.find_elements("css selector", "#sliders output")]
    assert shares == ["29 %", "71 %"]
    found = browser.save("image/png", "photo-wave+starry_night.png")
    expected = painted_by_python(small_model, photo, {"wave": 20 / 70, "starry_night": 50 / 70})
    assert np.abs(found - expected).mean() <= 1 / 255
    jpeg = browser.save("image/jpeg", "photo-wave+starry_night.jpg")
    assert np.abs(jpeg - expected).mean() <= 10 / 255
    assert browser.errors() == []

    browser.quit()
    events = json.loads(browser.requests.read_text())["events"]
    requests = [event["params"] for event in events if "initiator" in event.get("params", {})]
    ours = {event["url"] for event in requests if event["initiator"].startswith(server.url[:-1])}
    assert f"{server.url}network.tflite" in ours
    assert all(url.startswith((server.url, "blob:", "data:")) for url in ours)


def test_a_photo_is_saved_in_its_own_size_or_as_it_is_shown(browser, small_model, tmp_path):
    photo = tmp_path / "large.png"
    picture(2, (2 * SIZE, 3 * SIZE // 2)).save(photo)
    browser.take(photo)
    browser.wait_for_picture(SIZE, 3 * SIZE // 4)
    sizes = [option.text for option in browser.driver.find_elements("css selector", "#saved option")]
    assert sizes == [f"512 {TIMES} 384, finer strokes", f"256 {TIMES} 192, as shown"]
    found = browser.save("image/png", "large-scream.png")
    assert found.shape == (384, 512, 3)
    assert np.abs(found - painted_by_python(small_model, photo, 0)).mean() <= 1 / 255
    browser.wait_for(f"Saved: 512 {TIMES} 384 pixels.")
    browser.slide("#strength", 0)
    found = browser.save("image/png", "large-scream (1).png")
    assert np.abs(found - images.read_image(photo)).mean() <= 1 / 255
    browser.find("#saved option:last-child").click()
    assert browser.save("image/png", "large-scream (2).png").shape == (192, 256, 3)
    assert browser.errors() == []


# 19 MiB are enough for the picture on the screen.
@pytest.mark.parametrize("browser", [["--js-flags=--wasm-max-mem-pages=300"]], indirect=True)
def test_where_memory_is_short_a_photo_is_painted_smaller_and_saved_in_its_own_size(browser, small_model, tmp_path):
    photo = tmp_path / "large.png"
    picture(2, (3 * SIZE, 2 * SIZE)).save(photo)
    browser.take(photo)
    browser.wait_for_picture(SIZE, round(SIZE / 1.5))
    assert browser.save("image/png", "large-scream.png").shape == (2 * SIZE, 3 * SIZE, 3)
    browser.wait("return document.querySelector('#status').textContent.startsWith('Saved')")
    said = re.fullmatch(
        rf"Saved: 768 {TIMES} 512 pixels\. It was painted at (\d+) {TIMES} \d+, as there is no memory for more\.",
        browser.find("#status").text,
    )
    assert SIZE <= int(said[1]) < 3 * SIZE


def test_strength_and_stroke_size_are_those_of_python(live, small_model, tmp_path):
    photo = tmp_path / "strength.png"
    with picture(0, (32, 24)) as image:
        image.resize((64, 48), Image.Resampling.BILINEAR).save(photo)
    image, painting = images.read_image(photo), painted_by_python(small_model, photo, 0)
    live.take(photo)
    live.wait_for_picture(64, 48)
    for k, strength in enumerate([0, 0.5, 1.5]):
        live.slide("#strength", 100 * strength)
        found = live.save("image/png", f"strength-scream{f' ({k})' if k else ''}.png")
        expected = np.clip(image + strength * (painting - image), 0, 1)
        assert np.abs(found - expected).mean() <= 1 / 255

    live.slide("#strength", 100)
    live.slide("#stroke-size", 1)
    found = live.save("image/png", "strength-scream (3).png")
    expected = painted_by_python(small_model, photo, 0, stroke_size=2)
    assert np.abs(found - expected).mean() <= 2 / 255 < np.abs(found - painting).mean()

    live.slide("#stroke-size", 2)
    found = live.save("image/png", "strength-scream (4).png")
    expected, unfinished = (painted_by_python(small_model, photo, 0, stroke_size=4, finish=k) for k in (True, False))
    assert np.abs(found - expected).mean() <= 2 / 255 < np.abs(found - unfinished).mean()


def test_pictures_are_enlarged_as_by_python(live):
    found = live.run(
        """
        const { painting_sizes, enlarged } = arguments[0];
        const image = (rows) => {
            const found = new ImageData(rows[0].length, rows.length);
            found.data.set(rows.flat().flatMap((color) => [...color, 255]));
            return found;
        };
        return import("./strokes.js").then((strokes) => ({
            sizes: painting_sizes.map(({ size: [height, width], stroke_size }) => {
                const how = [{ width, height }, stroke_size];
                const sizes = [strokes.paintingSize(...how), strokes.finishingSize(...how)];
                return sizes.map((size) => size ? [size.height, size.width] : null);
            }),
            pictures: enlarged.map(({ picture, photo }) => [...strokes.enlarged(image(picture), image(photo)).data]),
        }));
        """,
        CASES,
    )
    assert found["sizes"] == [[case["painting_size"], case["finishing_size"]] for case in CASES["painting_sizes"]]
    for case, pixels in zip(CASES["enlarged"], found["pictures"], strict=True):
        expected = np.array(case["enlarged"])
        picture = np.reshape(pixels, (*expected.shape[:2], 4))
        np.testing.assert_allclose(picture[..., :3], expected, atol=1)
        assert (picture[..., 3] == 255).all()


@pytest.fixture
def paintings(tmp_path):
    """Two paintings: one in greys, which is scaled up and cut to 256 x 1024 pixels, and one that is scaled down."""
    paths = [tmp_path / "boat.png", tmp_path / "wave.png"]
    picture(3, (300, 60)).convert("L").save(paths[0])
    grainy(4, (450, 399)).save(paths[1])
    return paths


@pytest.fixture
def browser_for_paintings(site, tmp_path):
    """A Chromium that shows the page of the bundled model for any painting; `add` chooses paintings."""
    folder = tmp_path / "page"
    shutil.copytree(site, folder)
    page.build_page("anything", folder, image_size=SIZE, preview_size=SIZE // 8)
    with serve(folder) as server, open_browser(tmp_path, server.url) as browser:
        browser.server = server
        browser.add = lambda *paths: browser.find("#painting").send_keys("\n".join(map(str, paths)))
        yield browser


def test_paintings_become_styles_that_the_page_paints_as_python_does(browser_for_paintings, photo, paintings):
    browser, (boat, wave) = browser_for_paintings, map(str, paintings)
    assert browser.find("#add").accessible_name == "Add a painting"
    browser.take(photo)
    browser.wait_for("Now add a painting.")
    assert np.abs(browser.save("image/png", "photo.png") - images.read_image(photo)).mean() <= 1 / 255
    browser.add(boat, wave)
    browser.wait_for_picture(63, 46)
    of_wave = painted_by_python("anything", photo, wave)
    assert np.abs(browser.save("image/png", "photo-wave.png") - of_wave).mean() <= 1 / 255

    browser.find("#mix").click()
    browser.pick(0)
    browser.slide("#sliders input", 20)
    found = browser.save("image/png", "photo-boat+wave.png")
    expected = painted_by_python("anything", photo, {boat: 20 / 70, wave: 50 / 70})
    assert np.abs(found - expected).mean() <= 1 / 255 < 5 / 255 < np.abs(found - of_wave).mean()

    browser.server.shutdown()
    browser.server.server_close()
    browser.open(browser.server.url)
    browser.add(boat)
    browser.wait_for("Now choose a photo.")
    browser.take(photo)
    browser.wait_for_picture(63, 46)
    assert browser.errors() == []


def test_what_shows_no_style_is_one_sentence_and_other_paintings_are_taken(browser_for_paintings, paintings, tmp_path):
    browser = browser_for_paintings
    names = "return [...document.querySelectorAll('.tile span')].map((name) => name.textContent)"
    text, red, narrow = (tmp_path / name for name in ("text.txt", "red.png", "narrow.png"))
    text.write_text("no painting")
    Image.new("RGB", (64, 64), "red").save(red)
    picture(0, (90, 31)).save(narrow)
    browser.add(text)
    browser.wait_for("text.txt is not an image that the browser can open.")
    browser.add(red)
    browser.wait_for("red.png shows no style: it has only one colour.")
    browser.add(narrow, paintings[0])
    browser.wait_for("narrow.png is too small: its shorter side has 31 pixels, where at least 32 are needed.")
    assert browser.run(names) == ["boat", "Add a painting"]
    # Dropped on the styles, an image is a painting; elsewhere, it is a photo.
    browser.run(
        """
        const drop = (target) => {
            const dataTransfer = new DataTransfer();
            dataTransfer.items.add(new File([new Uint8Array(arguments[0])], "dropped.png", { type: "image/png" }));
            document.querySelector(target).dispatchEvent(new DragEvent("drop", { bubbles: true, dataTransfer }));
        };
        drop("#tiles");
        drop("#stage");
        """,
        list(paintings[1].read_bytes()),
    )
    browser.wait_for_picture(SIZE, round(SIZE * 399 / 450))
    browser.wait("return document.querySelectorAll('.tile').length === 3")
    assert browser.run(names) == ["boat", "dropped", "Add a painting"]
    assert browser.errors() == []


def test_the_page_works_without_the_network_after_the_first_visit(browser, server, photo):
    server.shutdown()
    server.server_close()
    browser.open(server.url)
    browser.take(photo)
    browser.wait_for_picture(63, 46)
    assert browser.errors() == []


def test_the_page_fits_a_narrow_screen_and_says_in_one_sentence_what_is_wrong(browser, photo, tmp_path):
    browser.show(360, 740)
    fits = "const { scrollWidth, clientWidth } = document.documentElement; return scrollWidth <= clientWidth"
    assert browser.run(fits)
    text = tmp_path / "text.txt"
    text.write_text("no photo")
    browser.take(text)
    browser.wait_for("This file is not a photo that the browser can open.")
    large = tmp_path / "large.jpg"
    turned = Image.Exif()
    turned[0x0112] = 6  # The orientation: what is upright lies on its left side in the file.
    picture(1, (800, 300)).save(large, exif=turned)
    browser.take(large)
    browser.wait_for_picture(96, 256)
    browser.find("#mix").click()
    for style in (1, 2):
        browser.pick(style)
    browser.wait_for_picture(96, 256)
    assert browser.run(fits)


def test_of_two_photos_the_one_that_was_chosen_last_is_shown(browser, photo, tmp_path):
    first = tmp_path / "first.png"
    picture(1, (40, 80)).save(first)
    browser.run("""
        const decode = createImageBitmap;
        window.firstIsOpen = new Promise((open) => {
            window.createImageBitmap = async (file) => {
                if (file.name !== "first.png") return decode(file);
                await new Promise((resolve) => { window.decodeFirst = resolve; });
                const bitmap = await decode(file);
                setTimeout(open); // After all that follows at once.
                return bitmap;
            };
        });
    """)
    browser.take(first)
    browser.take(photo)
    browser.wait_for_picture(63, 46)
    browser.run("decodeFirst(); return firstIsOpen")
    assert browser.run("return document.querySelector('#picture').width") == 63
    assert browser.save("image/png", "photo-scream.png").shape == (46, 63, 3)


# 19 MiB are enough for the small pictures.
@pytest.mark.parametrize(("server", "browser"), [(2 * SIZE, ["--js-flags=--wasm-max-mem-pages=300"])], indirect=True)
def test_where_memory_is_short_the_small_picture_remains(browser, tmp_path):
    large = tmp_path / "large.png"
    picture(0, (2 * SIZE, 3 * SIZE // 2)).save(large)
    browser.take(large)
    browser.wait_for("There is not enough memory for a picture of this size.")
    assert browser.save("image/png", "large-scream.png").shape == (24, 32, 3)


def wait_for_frames(live, number):
    end = live.run("return window.painted") + number
    live.wait(f"return window.painted >= {end}")


def test_a_camera_and_a_video_are_painted_live_and_saved_as_picture_and_clip(live, tmp_path):
    live.find("#invitation [data-live]").click()
    wait_for_frames(live, 24)
    assert "frames/s at" in live.find("#rate").text
    painted = live.save("image/png", "camera-scream.png")
    assert painted.shape == (144, SIZE, 3) and painted.std() > 0.05
    live.pick(1)
    live.slide("#strength", 0)
    wait_for_frames(live, 3)
    unpainted = live.save("image/png", "camera-wave.png")
    green = unpainted[..., 1] - unpainted[..., 0]
    assert green.mean() > 0.2, "the green camera itself"
    live.find("#record").click()
    wait_for_frames(live, 6)
    live.find("#record").click()
    (clip,) = live.downloads("camera-wave.mp4", "camera-wave.webm")
    live.find("#stop").click()
    live.wait_for_picture(SIZE, 144)
    assert live.run("return track.readyState") == "ended"

    live.take(clip)
    wait_for_frames(live, 1)
    live.wait_for_picture(SIZE, 144)  # Of its last frame.
    assert live.errors() == []


def test_moving_pictures_have_a_network_of_their_own(site, small_model, tmp_path):
    names = small_model.style_names
    white = StyleTransformer(3, filters=(2, 2, 2), expand_filters=(2, 2), residual_blocks=1, style_names=names)
    for weight in white.weights:
        weight.assign(np.full(weight.shape, 9.0 if weight.name == "beta" else 0))
    folder = shutil.copytree(site, tmp_path / "page")
    page.build_page(small_model, folder, image_size=SIZE, preview_size=SIZE // 8, live_checkpoint=white)
    with serve(folder) as server, open_browser(tmp_path, server.url, *CAMERA) as browser:
        browser.find("#invitation [data-live]").click()
        browser.wait_for("Painting live.")
        assert browser.save("image/png", "camera-scream.png").min() == 1
        browser.find("#stop").click()
        browser.wait_for_picture(SIZE, 144)
        assert browser.save("image/png", "camera-scream (1).png").mean() < 0.9


@pytest.fixture
def clip(tmp_path):
    """A clip of one second that is first dark and then bright."""
    av = pytest.importorskip("av")
    path = tmp_path / "clip.webm"
    with av.open(str(path), "w") as file:
        stream = file.add_stream("vp9", 10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for k in range(10):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 40 if k < 5 else 200, np.uint8), "rgb24")
            file.mux(stream.encode(frame))
        file.mux(stream.encode())
    return path


def test_a_clip_can_be_sought_paused_and_played_again(live, clip):
    live.run("""
        window.buttons = [];
        const isShown = (selector) => !document.querySelector(selector).hidden;
        const note = () => buttons.push(play.getAttribute("aria-label") + (isShown("#stop") ? ", Stop" : ""));
        new MutationObserver(note).observe(play, { attributeFilter: ["aria-label"] });
        let failures = 3; // As of a busy browser.
        const fails = (source) => source instanceof HTMLVideoElement && failures-- > 0;
        const { createImageBitmap } = window;
        const refusal = () => Promise.reject(new DOMException("It is not usable.", "InvalidStateError"));
        window.createImageBitmap = (source) => (fails(source) ? refusal() : createImageBitmap(source));
    """)
    live.slide("#strength", 0)
    live.take(clip)
    live.wait_for_picture(64, 48)  # Of its last frame.
    assert live.save("image/png", "clip-scream.png").mean() > 0.6
    before = live.run("return window.painted")
    live.slide("#time", 0.2)
    live.wait(f"return window.painted > {before}")
    live.wait_for_picture(64, 48)
    assert live.save("image/png", "clip-scream (1).png").mean() < 0.4
    assert live.find("#transport output").text == "0:00 / 0:01"

    live.find("#play").click()
    wait_for_frames(live, 1)
    live.wait_for_picture(64, 48)
    assert live.save("image/png", "clip-scream (2).png").mean() > 0.6
    assert set(live.run("return buttons")) == {"Play", "Pause"}

    live.find("#play").click()
    wait_for_frames(live, 1)
    live.find("#play").click()
    live.wait_for_picture(64, 48)
    assert live.find("#play").accessible_name == "Play"
    live.slide("#time", 0.8)
    live.find("#actions [data-live]").click()
    wait_for_frames(live, 1)
    assert not live.find("#transport").is_displayed()
    assert live.errors() == []


def test_a_camera_that_is_taken_away_leaves_what_was_there_before(live, photo):
    live.find("#invitation [data-live]").click()
    live.pick(2)
    wait_for_frames(live, 1)
    live.find("#record").click()
    wait_for_frames(live, 6)
    live.run("track.stop(); track.dispatchEvent(new Event('ended'))")
    live.wait_for("The camera was disconnected.")
    assert live.downloads("camera-starry_night.mp4", "camera-starry_night.webm")
    assert live.find("#invitation").is_displayed() and not live.find("#actions").is_displayed()

    live.take(photo)
    live.wait_for_picture(63, 46)
    live.run("delete window.MediaRecorder")
    live.find("#actions [data-live]").click()
    wait_for_frames(live, 3)
    live.find("#record").click()
    live.wait_for("This browser cannot record clips.")
    live.run("track.stop(); track.dispatchEvent(new Event('ended'))")
    live.wait_for("The camera was disconnected.")
    live.wait("return document.querySelector('#picture').width === 63")
    assert live.save("image/png", "photo-starry_night.png").shape == (46, 63, 3)


def test_a_camera_or_video_that_cannot_be_shown_is_one_sentence(live, photo, tmp_path):
    def refused(reason, sentence):
        live.run(f"navigator.mediaDevices.getUserMedia = async () => {{ throw new DOMException('', '{reason}'); }}")
        live.run("document.querySelector('#invitation [data-live]').click()")
        live.wait_for(sentence)

    refused("NotFoundError", "There is no camera.")
    refused("NotAllowedError", "The browser does not let this page use the camera; its settings can allow it.")
    refused("NotReadableError", "The camera cannot be used; another program may be using it.")
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no video")
    live.take(broken)
    live.wait_for("The browser cannot decode this video.")
    sound = tmp_path / "sound.mp4"
    with wave.open(str(sound), "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        file.writeframes(bytes(1000))
    live.take(sound)
    live.wait_for("This video has no pictures that the browser can decode.")
    assert live.find("#invitation").is_displayed() and not live.find("#actions").is_displayed()
    assert live.errors() == []

    # As LiteRT.js says it where there is no memory for the image.
    live.run("""
        Worker.prototype.postMessage = function () {
            const error = "Error: ERROR: [./third_party/odml/litert/litert/cc/litert_tensor_buffer.h:101]";
            this.onmessage({ data: { error } });
        };
    """)
    live.take(photo)
    live.wait_for("There is not enough memory for a picture of this size.")


def test_moving_pictures_are_painted_at_a_size_that_keeps_up(live):
    def sides(milliseconds_per_pixel, stroke_size=1):
        return live.run(
            """
            const [perPixel, strokeSize] = arguments;
            return import("./pace.js").then(({ Pace }) => {
                const pace = new Pace(768);
                return Array.from({ length: 100 }, () => {
                    const pass = pace.pass(768, 432, strokeSize);
                    pace.took(perPixel * pass.width * pass.height, pass);
                    return pass;
                }).map(({ width, height }) => [width, height]);
            });
            """,
            milliseconds_per_pixel,
            stroke_size,
        )

    fast, medium, slow = sides(1e-5), sides(1e-3), sides(1)
    assert fast[-1] == [768, 432]
    assert slow[-1] == [128, 72]
    assert 40 <= 1e-3 * np.prod(medium[-1]) <= 100
    assert medium[-1] == medium[-20], "it does not go to and fro"
    assert all(side % 4 == 0 for size in fast + medium + slow for side in size)
    assert len(set(map(tuple, medium))) < 8
    assert sides(1e-5, stroke_size=2)[-1] == [384, 216]


@pytest.mark.parametrize("size", [(390, 844), (1280, 800), (1920, 1080)])
def test_styles_mixing_sliders_and_buttons_are_in_sight(live, photo, size):
    live.show(*size)
    live.take(photo)
    live.wait_for_picture(63, 46)
    live.find("#mix").click()
    live.pick(1)
    # As many tiles as the bundled model has.
    live.run("""
        const [tile] = tiles.children;
        tiles.append(...Array.from({ length: 19 }, () => tile.cloneNode(true)));
    """)
    for selector in ("#tiles label", "#mix", "#sliders label:last-child", "#strength", "#stroke-size", "#actions"):
        top, bottom = live.run(
            "const { top, bottom } = arguments[0].getBoundingClientRect(); return [top, bottom]", live.find(selector)
        )
        assert 0 <= top < bottom <= size[1], selector
    live.show(1280, 800)


def test_the_page_works_by_keyboard(browser, photo):
    tab, right, space = "\ue004", "\ue014", " "
    names = []
    for _ in range(7):
        browser.press(tab)
        names.append(browser.focused())
    invitation = ["Choose a photo or video", "Paint the camera live", "Use the example"]
    assert names == [*invitation, "Scream", "Mix styles", "Strength", "Stroke size"]
    # From the example on, without a mouse.
    for _ in range(4):
        browser.press(tab, shift=True)
    assert browser.focused() == "Use the example"
    browser.press("\ue007")
    browser.wait("return document.activeElement.id === 'picture'")
    browser.press(tab)
    assert browser.focused() == "Scream"
    browser.take(photo)
    browser.wait_for_picture(63, 46)
    browser.press(right)
    assert browser.focused() == "Wave"
    browser.wait_for_picture(63, 46)
    label = "return document.querySelector('#picture').getAttribute('aria-label')"
    assert browser.run(label) == "The photo in the style of Wave"
    browser.press(tab)
    browser.press(space)
    browser.press(tab, shift=True)
    browser.press(space)
    assert browser.run(label) == "The photo in the style of Wave 50 %, Starry Night 50 %"
    names = []
    for _ in range(9):
        browser.press(tab)
        names.append(browser.focused())
    assert names[-4:] == ["Open", "Live", "Save PNG", "Save JPEG"]


def test_a_page_is_built_anew_in_place_and_other_files_stay(site, small_model, tmp_path):
    folder = shutil.copytree(site, tmp_path / "page")
    (folder / "CNAME").write_text("ours")
    (folder / "styles" / "9.jpg").write_text("of a style that there is no more")
    before = (folder / "site.js").read_text()
    (folder / "site.js").write_text(before.replace('"styles/2.jpg",', '"styles/2.jpg", "styles/9.jpg",'))
    page.build_page(small_model, folder, image_size=SIZE // 8, preview_size=SIZE // 8)
    assert (folder / "site.js").read_text() != before
    assert (folder / "CNAME").read_text() == "ours"
    assert not (folder / "styles" / "9.jpg").exists()
    assert sorted(os.listdir(folder)) == sorted([*os.listdir(site), "CNAME"])
    assert os.listdir(tmp_path) == ["page"]


def test_bad_input_is_one_sentence_and_leaves_nothing(refused, small_checkpoint, tmp_path):
    folder = tmp_path / "site"
    checkpoint = f"--checkpoint={small_checkpoint}"
    assert "there is no checkpoint at nowhere" in refused(
        "build_page", "--checkpoint=nowhere", f"--output_dir={folder}"
    )
    assert "cannot read nothing.jpg" in refused(
        "build_page", checkpoint, f"--output_dir={folder}", "--photo=nothing.jpg"
    )
    assert os.listdir(tmp_path) == []
    folder.mkdir()
    (folder / "index.html").write_text("mine")
    assert f"{folder} holds something other" in refused("build_page", checkpoint, f"--output_dir={folder}")
    assert [path.name for path in tmp_path.rglob("*")] == ["site", "index.html"]


def test_without_a_connection_there_is_one_sentence_and_no_page(small_checkpoint, tmp_path):
    folder, home = tmp_path / "new", tmp_path / "home"
    folder.mkdir()
    home.mkdir()
    offline = {name: "http://127.0.0.1:9" for name in ("npm_config_registry", "https_proxy", "http_proxy")}
    result = run(
        [f"{ROOT}/bin/build_page.py", f"--checkpoint={small_checkpoint}", f"--output_dir={folder}/site"],
        {**ENV, **offline, "npm_config_cache": str(home), "KERAS_HOME": str(home / "keras")},
    )
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.splitlines()[-1].startswith("build_page.py: cannot fetch LiteRT.js: npm ")
    assert os.listdir(folder) == []
