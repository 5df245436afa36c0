"""The command `magstyle`, as `python -m magstyle`."""

from magstyle.programs import launcher

if __name__ == "__main__":  # Workers that are spawned import it again.
    launcher.run("commands")
