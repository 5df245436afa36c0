"""Does the page keep its frames per second and its memory while it paints a camera?

Chromium opens a page of the model and paints its own fake camera, a turning disc. The memory is that of all of
Chromium's processes, without memory that they share with others. This needs Chromium and its driver, like the tests of
the page.
"""

import contextlib
import functools
import http.server
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator

import psutil
from selenium import webdriver
from selenium.webdriver.chrome.service import Service

import magstyle
import measuring

COLUMNS = ["seconds", "frames/s", "painted at", "memory, MiB"]

_FLAGS = ["--headless=new", "--no-sandbox", "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
_LIVE = "#invitation [data-live]"


class Silent(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


def measure(checkpoint: str, seconds: float, interval: float) -> Iterator[list[str]]:
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        magstyle.build_page(checkpoint, f"{folder}/site")
        handler = functools.partial(Silent, directory=f"{folder}/site")
        server = stack.enter_context(http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        stack.callback(server.shutdown)
        driver = open_browser()
        stack.callback(driver.quit)
        browser = psutil.Process(driver.service.process.pid)
        driver.get(f"http://127.0.0.1:{server.server_port}/")
        while not driver.execute_script("return document.querySelector('#status')?.textContent === 'Ready.'"):
            time.sleep(0.1)
        driver.execute_script(f"document.querySelector('{_LIVE}').click()")
        start = time.monotonic()
        for k in range(1, round(seconds / interval) + 1):
            time.sleep(max(0, start + k * interval - time.monotonic()))
            rate = driver.execute_script("return document.querySelector('#rate').textContent")
            frames, _, size = rate.replace("\N{MULTIPLICATION SIGN}", "x").partition(" frames/s at ")
            yield [f"{k * interval:g}", frames, size, f"{memory(browser) / 2**20:.0f}"]


def open_browser() -> webdriver.Chrome:
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    for flag in _FLAGS:
        options.add_argument(flag)
    return webdriver.Chrome(options, Service(shutil.which("chromedriver")))


def memory(process: psutil.Process) -> int:
    """The bytes that its descendants hold and share with no other process."""
    total = 0
    for child in process.children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            total += child.memory_full_info().uss
    return total


if __name__ == "__main__":
    parser = measuring.parser(__doc__)
    parser.add_argument("--checkpoint", default="painters", help="the model")
    parser.add_argument("--seconds", type=float, default=120, help="how long to paint")
    parser.add_argument("--interval", type=float, default=20, help="seconds between two rows")
    flags = parser.parse_args()
    measuring.print_table(COLUMNS, measure(flags.checkpoint, flags.seconds, flags.interval))
