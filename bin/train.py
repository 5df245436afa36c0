#!/usr/bin/env python3
from magstyle.programs import train

train.run()
