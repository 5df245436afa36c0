"""How good a model is.

The way in is `measures`: the losses of training, also compared with optimised pixels, and the distances of colours and
shapes from the painting's, which `appearance` measures without a network. `jobs` holds the options, and `reports` keeps
the results.
"""
