#!/usr/bin/env python3
from magstyle.programs import export_saved_model

export_saved_model.run()
