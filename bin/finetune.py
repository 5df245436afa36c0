#!/usr/bin/env python3
from magstyle.programs import finetune

finetune.run()
