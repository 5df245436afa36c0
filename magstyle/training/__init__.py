"""Training: the parts that `magstyle.trainer` puts together. Keras alone, so they train on TensorFlow and on JAX.

model: `StyleTraining`, the transformer and its losses as one model that `fit` trains.
optimizer: `StyleAdam`, Adam with a learning rate of its own for the styles, and the schedule `DecayAtEnd`.
transfer: `with_styles`, a trained network for other styles, and `freeze_convolutions`.
saving: the callback `SaveAndResume`, which keeps a training in a folder and goes on from there.
callbacks: the callbacks `Progress`, a bar, and `StopOnNaN`.
"""
