"""Methods that optimise the pixels of one picture: neural style, reconstructions, DeepDream.

Start with `neural_style_files`, `reconstruction_files` and `deep_dream_files`, which do the `jobs` from files to files;
`job_files` holds the steps that they share. The other modules are the methods on arrays: objectives and transforms for
the one loop in `pixels`.
"""
