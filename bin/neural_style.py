#!/usr/bin/env python3
from magstyle.programs import neural_style

neural_style.run()
