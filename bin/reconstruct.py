#!/usr/bin/env python3
from magstyle.programs import reconstruct

reconstruct.run()
