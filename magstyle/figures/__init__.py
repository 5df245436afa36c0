"""Pictures of pictures: sheets, triptychs, grids, strips and walks, as people publish them.

The way in is `figure_files`.
"""
