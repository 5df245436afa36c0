"""Opens models from wherever they live, and saves them.

The way in is `model_files`, for style transformers, and `vgg_files`, for the loss network. `networks` holds a network
as plain arrays, `network_cache` keeps those that only Keras could read, and `magenta` knows Magenta's files.
"""
