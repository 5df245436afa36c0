"""Prints the versions of all that is installed in this environment, as constraints for pip."""

import importlib.metadata
import platform

from pip._vendor.packaging.specifiers import SpecifierSet

OLDEST = "3.10"

print(f"# The versions that were tested, by Python {platform.python_version()} on {platform.system()}.")
print("# `make constraints` writes this file anew; `make demo`, `make test` and the others install by it.")
print(f"# A version that does not run on Python {OLDEST} binds only newer ones; there, pip takes the newest that does.")
for found in sorted(importlib.metadata.distributions(), key=lambda found: found.name.lower()):
    if found.name != "magstyle":
        newer = not SpecifierSet(found.metadata["Requires-Python"] or "").contains(f"{OLDEST}.99")
        print(f"{found.name}=={found.version}" + newer * f'; python_version > "{OLDEST}"')
