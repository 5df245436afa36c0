"""What comes with the package, in folders of their own beside it: examples/ and configs/."""

import pathlib


def file(folder: str, name: str) -> pathlib.Path:
    """The path of a file in one of these folders, whether or not it is there.

    Args:
        folder: "examples" or "configs".
        name: of the file.
    """
    package = pathlib.Path(__file__).parent
    # In an installed package, and in a checkout.
    installed, checkout = (around / folder / name for around in (package, package.parent))
    return installed if installed.exists() else checkout
