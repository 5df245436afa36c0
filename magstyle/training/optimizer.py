"""Adam with a learning rate of its own for the styles, and a schedule whose learning rate falls at the end."""

from typing import Any

import keras


@keras.saving.register_keras_serializable(package="magstyle")
class StyleAdam(keras.optimizers.Adam):
    """Adam with a learning rate of its own for the styles: the scales and offsets of the normalisations.

    A step changes only those of the few styles in its batch, and every style moves far from its start, so they profit
    from larger steps than the kernels, which all styles share.

    Args:
        learning_rate: a float, or a schedule.
        style_scale: multiplies the learning rate for the styles.
        **kwargs: as `keras.optimizers.Adam` takes them.
    """

    def __init__(
        self,
        learning_rate: float | keras.optimizers.schedules.LearningRateSchedule,
        style_scale: float = 1.0,
        **kwargs: Any,
    ):
        super().__init__(learning_rate, **kwargs)
        self.style_scale = style_scale

    def build(self, variables):
        if self.built:
            return
        super().build(variables)
        # Here the variables are Keras's on every backend; TensorFlow gives update_step its own, which have no path.
        self.scales = tuple(
            self.style_scale if variable.path.split("/")[-1] in ("gamma", "beta") else 1.0 for variable in variables
        )

    def update_step(self, gradient, variable, learning_rate):
        super().update_step(gradient, variable, learning_rate * self.scales[self._get_variable_index(variable)])

    def get_config(self):
        return {**super().get_config(), "style_scale": self.style_scale}


@keras.saving.register_keras_serializable(package="magstyle")
class DecayAtEnd(keras.optimizers.schedules.LearningRateSchedule):
    """A constant learning rate that falls to 0 over the last decay_steps of train_steps, along a cosine.

    Keras's CosineDecay falls from the first step, so a training could not be prolonged while its rate is constant.
    """

    def __init__(self, learning_rate: float, train_steps: int, decay_steps: int):
        self.learning_rate = learning_rate
        self.train_steps = train_steps
        self.decay_steps = decay_steps
        self.cosine = keras.optimizers.schedules.CosineDecay(learning_rate, decay_steps)

    def __call__(self, step):
        return self.cosine(keras.ops.maximum(step - (self.train_steps - self.decay_steps), 0))

    def get_config(self):
        return {"learning_rate": self.learning_rate, "train_steps": self.train_steps, "decay_steps": self.decay_steps}
