#!/usr/bin/env python3
from magstyle.programs import stylize

stylize.run()
