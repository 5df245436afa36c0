#!/usr/bin/env python3
from magstyle.programs import convert_checkpoint

convert_checkpoint.run()
