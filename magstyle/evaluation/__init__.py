"""How good a model is.

The way in is `measures`: the losses of training, also relative to what an optimisation reaches, and how near colours
and shapes come to the painting, which `appearance` tells without a network.
"""
