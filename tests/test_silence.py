import subprocess
import sys


def stderr_of(script: str) -> str:
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stderr


def test_what_others_write_to_stderr_comes_through_after_silence_in_many_threads():
    script = (
        "import os, threading\n"
        "from magstyle.silence import silent_stderr\n"
        "def work():\n"
        "    for _ in range(20):\n"
        "        with silent_stderr():\n"
        "            os.write(2, b'noise')\n"
        "threads = [threading.Thread(target=work) for _ in range(4)]\n"
        "for thread in threads: thread.start()\n"
        "for thread in threads: thread.join()\n"
        "os.write(2, b'news')\n"
    )
    assert stderr_of(script) == "news"


def test_silence_lasts_from_the_end_of_a_program_on():
    script = (
        "import atexit, os\n"
        "from magstyle.silence import silence_the_end\n"
        "atexit.register(os.write, 2, b'unloaded')\n"
        "silence_the_end()\n"
        "os.write(2, b'news')\n"
    )
    assert stderr_of(script) == "news"
