#!/usr/bin/env python3
"""Measures what the README claims; every target prints one table.

bin/benchmark.py --targets=speed     our network beside the same one made of Keras's own layers, in one process
bin/benchmark.py --targets=memory    the memory and time that photos of 6, 12 and 24 megapixels take
bin/benchmark.py --targets=photos    photos per second: the training pipeline, decoding alone, and what a step eats
bin/benchmark.py --targets=training  a step of training beside fine-tuning, mixed precision and XLA
bin/benchmark.py --targets=litert    LiteRT files beside the straightforward conversion of the same network, two threads
"""

import collections
import resource
import statistics
import sys
import time
from collections.abc import Callable, Sequence

from magstyle import app  # First: it silences TensorFlow, which Keras imports.

# isort: split
import keras
import numpy as np
import PIL.Image
import tensorflow as tf
from absl import flags
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter

from magstyle import checkpoints
from magstyle.data import content
from magstyle.export import litert, litert_metadata
from magstyle.models.layers import ReflectionPadding2D, SubpixelConv2D
from magstyle.models.transformer import StyleTransformer
from magstyle.stylizer import Stylizer
from magstyle.training.model import StyleTraining
from magstyle.training.transfer import freeze_convolutions

FLAGS = flags.FLAGS
TARGETS = ["speed", "memory", "photos", "training", "litert"]
flags.DEFINE_multi_enum("targets", ["speed", "memory"], TARGETS, "What to measure.")
flags.DEFINE_multi_string("content_files", ["examples"], "Photos for --targets=photos.")
flags.DEFINE_string("vgg_checkpoint", "random:0", "VGG for --targets=photos and --targets=training.")
ALPHAS = (1.0, 0.25)


def main(_: Sequence[str]) -> None:
    measures = {
        "speed": measure_speed,
        "memory": measure_memory,
        "photos": measure_photos,
        "training": measure_training,
        "litert": measure_litert,
    }
    for target in FLAGS.targets:
        measures[target]()


def measure_speed(repetitions: int = 5) -> None:
    print("alpha  pixels       plain s  ours s  plain / ours  max |difference|")
    for alpha in ALPHAS:
        model = StyleTransformer(num_styles=4, alpha=alpha)
        plain = of_keras_layers(model)
        for side in (256, 512, 1024):
            inputs = [np.random.default_rng(0).random((1, side, side, 3), np.float32), np.eye(4, dtype=np.float32)[:1]]
            difference = np.abs(model.predict_on_batch(inputs) - plain.predict_on_batch(inputs)).max()
            # In turns, so that whatever else the machine does falls on both.
            pairs = [(seconds(plain, inputs), seconds(model, inputs)) for _ in range(repetitions)]
            slow, fast = (statistics.median(times) for times in zip(*pairs, strict=True))
            ratio = statistics.median(a / b for a, b in pairs)
            print(f"{alpha:5.2f}  {side:4} x {side:4}  {slow:7.3f}  {fast:6.3f}  {ratio:12.2f}  {difference:16.1e}")


def of_keras_layers(model: StyleTransformer) -> keras.Model:
    """The same network, its up-sampling and its last convolution written with Keras's own layers."""

    def plain(layer: keras.layers.Layer) -> keras.layers.Layer:
        if not isinstance(layer, SubpixelConv2D):
            return layer.__class__.from_config(layer.get_config())
        return keras.Sequential(
            [
                keras.layers.UpSampling2D(layer.upsampling),
                ReflectionPadding2D(layer.kernel_size // 2),
                keras.layers.Conv2D(layer.filters, layer.kernel_size, use_bias=False),
            ],
            name=layer.name,
        )

    copy = keras.models.clone_model(model, clone_function=plain)
    copy.set_weights(model.get_weights())
    return copy


def measure_memory() -> None:
    stylizers = {alpha: Stylizer(StyleTransformer(num_styles=4, alpha=alpha)) for alpha in ALPHAS}
    for stylizer in stylizers.values():
        stylizer.stylize(np.zeros((64, 64, 3)), stylizer.style_weights(0))
    before = peak_memory()
    # The peak of a process never falls, so from small to large.
    cases = sorted(
        (stylizer.memory_needed(height, width), alpha, height, width)
        for alpha, stylizer in stylizers.items()
        for height, width in ((2000, 3000), (3000, 4000), (4000, 6000))
    )
    print("alpha  photo        peak GiB  expected GiB  seconds")
    for needed, alpha, height, width in cases:
        photo = np.random.default_rng(0).random((height, width, 3), np.float32)
        stylizer = stylizers[alpha]
        elapsed = time_of(lambda photo=photo, s=stylizer: s.stylize(photo, s.style_weights(0)))
        peak, expected = peak_memory() / 2**30, (before + needed) / 2**30
        print(f"{alpha:5.2f}  {width} x {height}  {peak:8.2f}  {expected:12.2f}  {elapsed:7.1f}")


def measure_photos(image_size: int = 256, batch_size: int = 4, num_photos: int = 400) -> None:
    source = content.from_files(FLAGS.content_files)
    files = [name.decode() for name, _ in source.examples(tf.constant([0, 0])).as_numpy_iterator()]
    files = tf.data.Dataset.from_tensor_slices(files).repeat().take(num_photos)

    def decode(name):
        with PIL.Image.open(name) as image:
            return np.asarray(image.convert("RGB"))[0, 0]

    decoded = files.map(lambda name: tf.numpy_function(decode, [name], tf.uint8), num_parallel_calls=tf.data.AUTOTUNE)
    batches = content.batches(source, image_size, batch_size, num_styles=4).take(num_photos // batch_size)
    augmented = content.batches(source, image_size, batch_size, 4, augment=True).take(num_photos // batch_size)
    model = training_model(alpha=1.0)
    one = next(iter(batches))
    model.train_on_batch(one)
    step = statistics.median(time_of(lambda: model.train_on_batch(one)) for _ in range(5))
    print("photos per second")
    for name, dataset in (("decoding alone", decoded), ("pipeline", batches), ("pipeline, --augment", augmented)):
        rates = [num_photos / time_of(lambda dataset=dataset: collections.deque(dataset, maxlen=0)) for _ in range(3)]
        print(f"{name:20} {statistics.median(rates):8.1f}")
    print(f"{'a training step eats':20} {batch_size / step:8.1f}")


def measure_training(image_size: int = 256, batch_size: int = 2, repetitions: int = 5) -> None:
    rng = np.random.default_rng(0)
    batch = {
        "image": rng.random((batch_size, image_size, image_size, 3), np.float32),
        "label": np.arange(batch_size, dtype=np.int32),
    }
    print("alpha  variant            s per step  training / variant")
    for alpha in ALPHAS:
        models = {"training": training_model(alpha), "fine-tuning": training_model(alpha, frozen=True)}
        models["--jit_compile"] = training_model(alpha, jit_compile=True)
        keras.mixed_precision.set_global_policy("mixed_bfloat16")
        models["--mixed_precision"] = training_model(alpha)
        keras.mixed_precision.set_global_policy("float32")
        for model in models.values():
            model.train_on_batch(batch)
        rounds = [
            {name: time_of(lambda model=model: model.train_on_batch(batch)) for name, model in models.items()}
            for _ in range(repetitions)
        ]
        for name in models:
            took = statistics.median(times[name] for times in rounds)
            ratio = statistics.median(times["training"] / times[name] for times in rounds)
            print(f"{alpha:5.2f}  {name:17}  {took:10.3f}  {ratio:18.2f}")


def measure_litert(repetitions: int = 7) -> None:
    names = ("plain", *litert.PRECISIONS)
    ratios = (
        ("plain", "float32"),
        ("float32", "dynamic_int8"),
        ("float32", "int8"),
        ("plain", "float32 convolutions"),
        ("float32 convolutions", "int8 convolutions"),
    )
    seconds_of = "  ".join(f"{f'{name} s':>14}" for name in names)
    print(f"alpha  pixels       max |difference|  {seconds_of}  " + "  ".join(f"{a} / {b}" for a, b in ratios))
    for alpha in ALPHAS:
        model = StyleTransformer(num_styles=4, alpha=alpha)
        weights = np.eye(4, dtype=np.float32)[0]
        for side in (384, 1024):
            photo = np.random.default_rng(0).random((side, side, 3), np.float32)
            contents = {"plain": straightforward_litert(model, side)}
            for name in litert.PRECISIONS:
                contents[name] = litert.convert(model, side, name, images=[photo[:128, :128]])
            run = {name: litert_run(content, [photo[None], weights]) for name, content in contents.items()}
            for name in ("float32", "int8"):
                run[f"{name} convolutions"] = litert_run(convolutions_alone(contents[name]))
            expected = model.predict_on_batch([photo[None], weights[None]])
            difference = np.abs(run["float32"]() - expected).max()
            rounds = [{name: time_of(call) for name, call in run.items()} for _ in range(repetitions)]
            print(f"{alpha:5.2f}  {side:4} x {side:4}  {difference:16.1e}", end="")
            for name in names:
                print(f"  {statistics.median(times[name] for times in rounds):14.3f}", end="")
            for slow, fast in ratios:
                ratio = statistics.median(times[slow] / times[fast] for times in rounds)
                print(f"  {ratio:{len(slow) + len(fast) + 3}.2f}", end="")
            print(flush=True)


def litert_run(content: bytes, inputs: Sequence[np.ndarray] = ()) -> Callable[[], np.ndarray]:
    """Runs a LiteRT file with two threads, once before it returns; on zeros if no inputs are given."""
    interpreter = Interpreter(model_content=content, num_threads=2)
    interpreter.allocate_tensors()
    by_rank = {values.ndim: values for values in inputs}
    for entry in interpreter.get_input_details():
        values = by_rank[len(entry["shape"])] if inputs else np.zeros(entry["shape"], entry["dtype"])
        interpreter.set_tensor(entry["index"], values)

    def run() -> np.ndarray:
        interpreter.invoke()
        return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])

    run()
    return run


def convolutions_alone(content: bytes) -> bytes:
    """A LiteRT file without all that is no convolution: what is left is the least time that it could take."""
    model = schema.ModelT.InitFromPackedBuf(content)
    (graph,) = model.subgraphs

    def is_constant(index: int) -> bool:
        return model.buffers[graph.tensors[index].buffer].data is not None

    def computes(operator, code: int) -> bool:
        return model.operatorCodes[operator.opcodeIndex].builtinCode == code

    convolutions = [entry for entry in graph.operators if computes(entry, schema.BuiltinOperator.CONV_2D)]
    kernels = [
        entry
        for entry in graph.operators
        if computes(entry, schema.BuiltinOperator.DEQUANTIZE) and is_constant(entry.inputs[0])
    ]
    graph.operators = kernels + convolutions
    graph.inputs = list(dict.fromkeys(entry.inputs[0] for entry in convolutions))
    graph.outputs = [entry.outputs[0] for entry in convolutions]
    model.signatureDefs = []
    return litert_metadata.serialize(model)


def straightforward_litert(model: StyleTransformer, side: int) -> bytes:
    """What TensorFlow's converter makes of the network as it is written down: pad, convolve, normalise, resize."""
    parameters = {scope: [np.asarray(value) for value in model.parameters(scope).values()] for scope in model.scopes}

    def convolve(scope, x, style_weights, stride=1, upsampling=1):
        kernel, gamma, beta = parameters[scope]
        if upsampling > 1:
            x = tf.image.resize(x, [upsampling * length for length in x.shape[1:3]], "nearest")
        padding = kernel.shape[0] // 2
        x = tf.pad(x, [[0, 0], [padding, padding], [padding, padding], [0, 0]], "REFLECT")
        x = tf.nn.conv2d(x, kernel, stride, "VALID")
        mean = tf.reduce_mean(x, [1, 2], keepdims=True)
        variance = tf.reduce_mean(tf.math.squared_difference(x, mean), [1, 2], keepdims=True)
        return tf.nn.batch_normalization(x, mean, variance, style_weights @ beta, style_weights @ gamma, 1e-5)

    @tf.function
    def stylize(x, style_weights):
        style_weights = style_weights[None]
        x = tf.nn.relu(convolve("contract/conv1", x, style_weights))
        x = tf.nn.relu(convolve("contract/conv2", x, style_weights, stride=2))
        x = tf.nn.relu(convolve("contract/conv3", x, style_weights, stride=2))
        for k in range(1, model.residual_blocks + 1):
            residual = tf.nn.relu(convolve(f"residual/residual{k}/conv1", x, style_weights))
            x = x + convolve(f"residual/residual{k}/conv2", residual, style_weights)
        x = tf.nn.relu(convolve("expand/conv1/conv", x, style_weights, upsampling=2))
        x = tf.nn.relu(convolve("expand/conv2/conv", x, style_weights, upsampling=2))
        return tf.nn.sigmoid(convolve("expand/conv3/conv", x, style_weights))

    concrete = stylize.get_concrete_function(
        tf.TensorSpec([1, side, side, 3], tf.float32), tf.TensorSpec([model.num_styles], tf.float32)
    )
    module = tf.Module()
    module.stylize = stylize
    return tf.lite.TFLiteConverter.from_concrete_functions([concrete], module).convert()


def training_model(alpha: float, frozen: bool = False, jit_compile: bool = False) -> StyleTraining:
    """A compiled training of four styles, with Magenta's default losses."""
    transformer = StyleTransformer(num_styles=4, alpha=alpha)
    if frozen:
        freeze_convolutions(transformer)
    vgg = checkpoints.load_vgg(FLAGS.vgg_checkpoint)
    vgg = keras.Model(vgg.input, {name: output for name, output in vgg.output.items() if name.count("/conv") == 1})
    conv1, conv2, conv3, conv4 = list(vgg.output)[:4]
    vgg = keras.Model(vgg.input, {name: vgg.output[name] for name in (conv1, conv2, conv3, conv4)})
    grams = {name: np.zeros((4, output.shape[-1], output.shape[-1])) for name, output in vgg.output.items()}
    model = StyleTraining(transformer, vgg, grams, {conv3: 1.0}, dict.fromkeys(grams, 1e-4))
    model.compile(keras.optimizers.Adam(1e-3, epsilon=1e-8), jit_compile=jit_compile)
    return model


def seconds(model: keras.Model, inputs: list) -> float:
    return time_of(lambda: model.predict_on_batch(inputs))


def time_of(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def peak_memory() -> int:
    """The most bytes of memory that this process has held so far."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


if __name__ == "__main__":
    app.run(main)
