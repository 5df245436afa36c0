#!/usr/bin/env python3
from magstyle.programs import figure

figure.run()
