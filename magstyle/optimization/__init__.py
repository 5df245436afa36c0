"""Methods that optimise the pixels of one picture: neural style, reconstructions, DeepDream.

The way in is `neural_style_files`, `reconstruction_files` and `deep_dream_files`, from files to files; the modules
without `_files` are the methods on arrays: objectives and transforms for the one loop in `pixels`.
"""
