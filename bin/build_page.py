#!/usr/bin/env python3
from magstyle.programs import build_page

build_page.run()
