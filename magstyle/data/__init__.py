"""Users' files: `images`, every source of `photos` in `shards`, the training `pipeline`, and datasets of `styles`.

The way in is `images` for one picture, `photos` for many.
"""
