"""Clips, painted without flicker.

The way in is `video_files`, from a clip in a file to a painted one. `codec` reads and writes clips, with the help of
`containers`, `pictures` and `sound`. `camera` and `steadiness` keep strokes in place on moving things, whose motion
`optical_flow` measures. `animations` writes loops.
"""
