#!/usr/bin/env python3
from magstyle.programs import evaluate

evaluate.run()
