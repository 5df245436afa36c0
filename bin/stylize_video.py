#!/usr/bin/env python3
from magstyle.programs import stylize_video

stylize_video.run()
