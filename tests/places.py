"""Paths of the project, and the environment of a user."""

import os
import pathlib
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared"
# An empty cache, so that no earlier run matters.
_CACHE = tempfile.TemporaryDirectory()
os.environ["XDG_CACHE_HOME"] = _CACHE.name
# The tests set TF_CPP_MIN_LOG_LEVEL for themselves; a user does not.
ENV = {name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"}
