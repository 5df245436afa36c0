"""Users' files: `images`, sources of `photos` and their `shards`, the `pipeline` of training, datasets of `styles`.

Start with `images` for one picture, `photos` for many.
"""
