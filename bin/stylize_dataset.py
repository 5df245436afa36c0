#!/usr/bin/env python3
from magstyle.programs import stylize_dataset

stylize_dataset.run()
