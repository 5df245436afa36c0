#!/usr/bin/env python3
from magstyle.programs import launcher

if __name__ == "__main__":  # Workers that are spawned import it again.
    launcher.run("distil")
