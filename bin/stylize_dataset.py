#!/usr/bin/env python3
from magstyle.programs import launcher

launcher.run("stylize_dataset")
