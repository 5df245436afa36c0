"""A photo of any size in, the picture of the same size out.

The way in is `stylizer`, for arrays, and `photo_files`, for photos in files. `engines` computes, as far as `memory`
allows; `regions`, `strokes` and `colors` say where and how; `grids` shows pictures side by side.
"""
