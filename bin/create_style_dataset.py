#!/usr/bin/env python3
from magstyle.programs import create_style_dataset

create_style_dataset.run()
