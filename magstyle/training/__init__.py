"""From paintings and photos to a model.

The way in is `trainer`: `train` and `finetune`, from files to a folder of checkpoints. `jobs` holds their options,
`criterion` builds the objective, and `gram_matrices` makes style datasets. `model`, `optimizer`, `transfer`,
`saving` and `callbacks` are Keras alone, so they train on TensorFlow and on JAX.
"""
