"""From paintings and photos to a model.

The way in is `trainer`: `train` and `finetune`, from files to a folder of checkpoints. `gram_matrices` makes the style
dataset, and `objective` says what is minimised. `model`, `optimizer`, `transfer`, `saving` and `callbacks` are Keras
alone, so they train on TensorFlow and on JAX.
"""
