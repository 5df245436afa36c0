#!/usr/bin/env python3
from magstyle.programs import convert_tflite

convert_tflite.run()
