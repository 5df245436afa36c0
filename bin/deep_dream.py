#!/usr/bin/env python3
from magstyle.programs import deep_dream

deep_dream.run()
