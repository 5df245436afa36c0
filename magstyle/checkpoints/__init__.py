"""Opens models from wherever they live, and saves them.

The way in is `model_files`, for style transformers, and `vgg_files`, for the loss network; `paintings` makes styles of
paintings at once. `networks` holds a network and its styles as plain arrays, `magenta` knows the names in Magenta's
files, and `tensorflow_files` their formats.
"""
