import subprocess
import sys
import types

import keras
import numpy as np
import psutil
import pytest

from magstyle.errors import InputError
from magstyle.models import vgg as vgg_network
from magstyle.models.architecture import Architecture
from magstyle.models.transformer import StyleTransformer
from magstyle.painting import margin, memory
from magstyle.painting.stylizer import Stylizer
from magstyle.training.transfer import freeze_convolutions
from tests.samples import narrow_vgg

FREE = 10**6  # On the machine.
UNLIMITED = 9223372036854771712  # In version 1.


@pytest.fixture(scope="module")
def model():
    return StyleTransformer(1, residual_blocks=1)


@pytest.fixture
def machine(monkeypatch):
    """A machine whose memory can be set, with nothing around the process."""
    machine = types.SimpleNamespace(available=2**40, total=2**40)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: machine)
    monkeypatch.setattr(psutil, "swap_memory", lambda: types.SimpleNamespace(total=0))
    monkeypatch.setattr(memory, "available", lambda: machine.available)
    return machine


def test_a_photo_that_does_not_fit_is_refused_with_the_size_that_does(model, machine):
    machine.available = memory.needed(model.convolutions, "keras", 1000, 2000)
    memory.check(model.convolutions, "keras", memory.Photo(1000, 2000))
    memory.check(model.convolutions, "keras", memory.Photo(2000, 1000))
    with pytest.raises(InputError, match=r"2400 x 1200 pixels takes about .* GiB.*; .*image_size=1000 fits") as error:
        memory.check(model.convolutions, "keras", memory.Photo(1200, 2400))
    assert error.value.arguments == ("image_size",)


@pytest.mark.parametrize("engine", ["litert", "keras"])
def test_the_margin_of_a_photo_takes_memory_too(model, machine, monkeypatch, engine):
    machine.available = memory.needed(model.convolutions, engine, 96, 96)
    memory.check(model.convolutions, engine, memory.Photo(96, 96))
    with pytest.raises(InputError, match="image_size=96 fits"):
        memory.check(model.convolutions, engine, memory.Photo(100, 100))
    monkeypatch.setattr(margin, "MARGIN", 0)
    assert machine.available == memory.needed(model.convolutions, engine, 128, 128)


def test_a_photo_that_takes_larger_blocks_than_tensorflow_gets_is_refused(model, machine):
    machine.total = memory.largest_block(model.convolutions, 500, 1000)
    memory.check(model.convolutions, "keras", memory.Photo(500, 1000))
    with pytest.raises(InputError, match=r"in blocks of up to .*image_size=500 fits"):
        memory.check(model.convolutions, "keras", memory.Photo(1000, 2000))


def test_other_backends_and_gpus_take_no_such_blocks(model, machine, monkeypatch):
    machine.total = memory.largest_block(model.convolutions, 500, 1000)
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    memory.check(model.convolutions, "keras", memory.Photo(1000, 2000))
    machine.available = 2**20
    with pytest.raises(InputError) as error:
        memory.check(model.convolutions, "keras", memory.Photo(1000, 2000))
    assert "blocks" not in str(error.value)


def test_xla_holds_more_than_tensorflow(model, monkeypatch):
    # JAX took 0.66 GiB for 640 x 960 pixels, the margin included.
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    assert 0.66 * 2**30 < memory.needed(model.convolutions, "keras", 608, 928) < 0.75 * 2**30


@pytest.mark.parametrize(("alpha", "gibibytes"), [(0.25, 0.76), (1.0, 2.63)])
def test_tensorflow_with_onednn_holds_what_was_measured_for_3000_x_2000_pixels(alpha, gibibytes):
    needed = memory.needed(Architecture(1, alpha).convolutions, "keras", 2000, 3000)
    assert gibibytes < needed / 2**30 < 1.3 * gibibytes


@pytest.mark.parametrize(("alpha", "gibibytes"), [(0.25, 1.54), (0.5, 1.75), (1.0, 2.47)])
def test_litert_holds_what_was_measured_for_3000_x_2000_pixels(alpha, gibibytes):
    needed = memory.needed_in_one_piece(Architecture(1, alpha).convolutions, 2000, 3000)
    assert gibibytes < needed / 2**30 < 1.1 * gibibytes


@pytest.mark.parametrize(("alpha", "gibibytes"), [(0.25, 0.78), (0.5, 0.98), (1.0, 1.65)])
def test_litert_holds_less_where_it_keeps_no_addresses(alpha, gibibytes):
    needed = memory.needed_in_one_piece(Architecture(1, alpha).convolutions, 2000, 3000, keep_addresses=False)
    assert gibibytes < needed / 2**30 < 1.15 * gibibytes


MEASURED = """
import sys
import numpy as np, psutil
from magstyle.checkpoints import networks
from magstyle.painting import engines, margin, memory
keep_addresses, regions, side = sys.argv[1] == "True", int(sys.argv[2]), 768
network = networks.random(0)
engines.LiteRTEngine(network).paint(np.zeros((64, 64, 3), np.float32), np.ones(4, np.float32), lambda share: None)
engine = engines.LiteRTEngine(network)
image, weights = np.zeros((side, side, 3), np.float32), np.ones(4, np.float32)
if regions:
    weights = np.broadcast_to((np.arange(4) < regions).astype(np.float32), (side, side, 4))
engine.expect([(side, side)] * (1 + keep_addresses))
before = psutil.Process().memory_info().rss
engine.paint(image, weights, lambda share: None)
measured = psutil.Process().memory_info().rss - before
framed = margin.framed(side)
print(memory.needed_in_one_piece(network.convolutions, framed, framed, regions, keep_addresses) / measured)
"""


@pytest.mark.parametrize(("keep_addresses", "regions"), [(True, 0), (False, 0), (True, 2)])
def test_litert_takes_the_memory_that_is_foreseen(keep_addresses, regions):
    command = [sys.executable, "-c", MEASURED, str(keep_addresses), str(regions)]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert 0.9 < float(result.stdout) < 1.3


def test_litert_takes_no_such_blocks(model, machine):
    machine.total = memory.largest_block(model.convolutions, 500, 1000)
    memory.check(model.convolutions, "litert", memory.Photo(1000, 2000))


def test_what_litert_holds_already_is_free_for_the_next_photo(model, machine, monkeypatch):
    stylizer = Stylizer(model, "litert")
    stylizer.stylize(np.zeros((64, 64, 3)), 0)
    machine.available = 0
    stylizer.check_size(100, 100)
    with pytest.raises(InputError, match="image_size=156 fits"):
        stylizer.check_size(240, 240)
    stylizer.check_size(156, 156)
    with pytest.raises(InputError, match="image_size=156 fits"):
        stylizer.check_size(160, 160)


@pytest.mark.parametrize(("alpha", "megapixels", "gibibytes"), [(1.0, 24, 3), (1.0, 100, 12), (0.5, 100, 6)])
def test_large_photos_fit_into_little_memory_in_tiles(alpha, megapixels, gibibytes):
    needed = memory.needed(Architecture(1, alpha).convolutions, "litert", 1000 * megapixels, 1000)
    assert needed < gibibytes * 2**30


def test_weights_of_every_pixel_take_what_was_measured():
    narrow = Architecture(1, 0.5).convolutions
    # 1024 x 1024 pixels in one piece took 399 MiB with weights of two styles, and 411 MiB with those of four.
    for styles, measured in ((2, 399), (4, 411)):
        needed = memory.needed_in_one_piece(narrow, 1024, 1024, styles)
        assert 1 < needed / (measured * 2**20) < 1.1
    for engine in ("litert", "keras"):
        plain, two, four = (memory.needed(narrow, engine, 3000, 4000, styles) for styles in (0, 2, 4))
        assert plain + 2 * 12e6 * 4 <= two < four


def test_a_gpu_holds_what_the_network_computes(model, monkeypatch):
    on_a_cpu = memory.needed(model.convolutions, "keras", 1000, 2000)
    monkeypatch.setattr(keras.distribution, "list_devices", lambda: ["gpu:0"])
    # The photo and the picture.
    assert 2 * 1000 * 2000 * 3 * 4 < memory.needed(model.convolutions, "keras", 1000, 2000) < 0.2 * on_a_cpu


def test_what_the_caller_keeps_is_not_free(model, machine):
    machine.available = memory.needed(model.convolutions, "keras", 1000, 2000) + 10**9
    memory.check(model.convolutions, "keras", memory.Photo(1000, 2000, keeps=10**9))
    with pytest.raises(InputError, match="image_size=996 fits"):
        memory.check(model.convolutions, "keras", memory.Photo(1000, 2000, keeps=10**9 + 10**6))
    with pytest.raises(InputError, match="no image_size fits"):
        memory.check(model.convolutions, "keras", memory.Photo(1000, 2000, keeps=10**12))
    with pytest.raises(InputError, match="no image_size fits"):
        Stylizer(model).check_size(1000, 2000, keeps=10**12)


@pytest.fixture(scope="module")
def vgg():
    return vgg_network.build(narrow_vgg(16, (1, 1)))


def test_a_step_that_does_not_fit_is_refused_with_the_sizes_that_do(model, vgg, machine):
    machine.available = memory.needed_to_train(model, vgg, 8, 256)
    memory.check_training(model, vgg, 8, 256)
    with pytest.raises(InputError, match=r"batch_size=16 and image_size=256 .*, batch_size=8 or image_size=180 fits"):
        memory.check_training(model, vgg, 16, 256)
    with pytest.raises(InputError, match=r"free, image_size=724 fits") as error:
        memory.check_training(model, vgg, 1, 800)
    assert error.value.arguments == ("batch_size", "image_size")
    machine.available = memory.needed_to_train(model, vgg, 1, 30)
    with pytest.raises(InputError, match=r"free, image_size=28 fits"):
        memory.check_training(model, vgg, 1, 64)
    with pytest.raises(InputError, match=r"free, no image_size fits"):
        memory.check_training(model, vgg, 1, 64, smallest=32)
    machine.available = memory.needed_to_train(model, vgg, 1, 14)
    with pytest.raises(InputError, match=r"free, no image_size fits"):
        memory.check_training(model, vgg, 1, 64)
    machine.available = 0
    with pytest.raises(InputError, match="no image_size fits"):
        memory.check_training(model, vgg, 1, 256)


def test_what_a_gpu_or_another_backend_takes_is_not_known(model, vgg, machine, monkeypatch):
    machine.available = 0
    with monkeypatch.context() as context:
        context.setattr(keras.backend, "backend", lambda: "jax")
        memory.check_training(model, vgg, 16, 256)
    monkeypatch.setattr(keras.distribution, "list_devices", lambda: ["gpu:0"])
    memory.check_training(model, vgg, 16, 256)


@pytest.mark.parametrize(
    ("alpha", "width", "convolutions", "frozen", "measured"),
    # Numbers per pixel in the first steps, of 2 photos: of 384 x 384 pixels with VGG-16, of 512 x 512 with the quarter
    # of a VGG-19, and the same of fine-tuning.
    [(1.0, 64, (2, 2, 3, 3), False, 1546), (0.25, 16, (2, 2, 4, 4), False, 499), (0.25, 16, (2, 2, 4, 4), True, 323)],
)
def test_a_step_takes_what_was_measured(alpha, width, convolutions, frozen, measured):
    transformer = StyleTransformer(4, alpha=alpha)
    if frozen:
        freeze_convolutions(transformer)
    layers = []
    for block, count in enumerate(convolutions):
        layers += [keras.layers.Conv2D(width * 2**block, 3, padding="same") for _ in range(count)]
        layers.append(keras.layers.AveragePooling2D(2))
    vgg = keras.Sequential([keras.Input((None, None, 3)), *layers])
    assert 1 < memory.needed_to_train(transformer, vgg, 1, 100) / (measured * 4 * 100**2) < 1.15


def test_24_megapixels_fit_into_12_gib():
    assert memory.needed(StyleTransformer(32).convolutions, "keras", 4000, 6000) < 11 * 2**30


def test_the_widest_tensor_of_a_narrow_start_is_a_later_one():
    narrow, equal, wide = (
        Architecture(1, filters=(n, 64, 128), expand_filters=(64, 2), residual_blocks=0).convolutions
        for n in (2, 64 // 4, 32)  # Next come 64 channels, half as high and half as wide.
    )
    needed = [memory.needed(convolutions, "keras", 8, 8) for convolutions in (narrow, equal, wide)]
    assert needed[0] == needed[1] < needed[2]


@pytest.fixture
def cgroups(tmp_path, monkeypatch):
    """Writes files of cgroups, `cgroups("0::/a", {"a": {...}})`, and returns what is available to a process in them."""
    monkeypatch.setattr(psutil, "virtual_memory", lambda: types.SimpleNamespace(available=FREE))

    def write(process, folders):
        (tmp_path / "cgroup").write_text(process)
        for folder, contents in folders.items():
            (tmp_path / "fs" / folder).mkdir(parents=True, exist_ok=True)
            for name, content in contents.items():
                (tmp_path / "fs" / folder / name).write_text(f"{content}\n")
        return memory.available(tmp_path / "cgroup", tmp_path / "fs")

    return write


def version_1(limit, usage, cache=0):
    statistics = f"cache 999\ntotal_inactive_file {cache}"
    return {"memory.limit_in_bytes": limit, "memory.usage_in_bytes": usage, "memory.stat": statistics}


def version_2(limit, usage, cache=0):
    return {"memory.max": limit, "memory.current": usage, "memory.stat": f"anon 999\ninactive_file {cache}"}


def test_the_limit_of_a_container_leaves_less_than_the_machine_has(cgroups):
    assert cgroups("0::/a/b.scope\n", {"a/b.scope": version_2(1000, 300)}) == 700
    assert cgroups("3:cpuset:/x\n4:cpu,memory:/a\n0::/\n", {"memory/a": version_1(1000, 400)}) == 600


def test_the_cache_of_files_gives_way(cgroups):
    assert cgroups("0::/a", {"a": version_2(1000, 900, cache=500)}) == 600
    assert cgroups("4:memory:/a", {"memory/a": version_1(1000, 900, cache=450)}) == 550


def test_the_narrowest_of_nested_cgroups_counts(cgroups):
    folders = {"a": version_2(2000, 1900), "a/b": version_2(1000, 300), "a/b/c": version_2("max", 200)}
    assert cgroups("0::/a/b/c", folders) == 100


def test_a_container_finds_its_own_limit_at_the_root_of_what_it_sees(cgroups):
    assert cgroups("0::/", {".": version_2(1000, 300)}) == 700
    # The name of its cgroup on the machine, of which no folder is visible inside.
    assert cgroups("4:memory:/docker/0123", {"memory": version_1(1000, 250)}) == 750


def test_without_a_limit_the_machine_counts(cgroups):
    assert cgroups("0::/a", {"a": version_2("max", 300)}) == FREE
    assert cgroups("4:memory:/a", {"memory/a": version_1(UNLIMITED, 300)}) == FREE
    assert cgroups("0::/nowhere\n4:memory:/nowhere\n2:cpu:/", {}) == FREE
    assert memory.available("/nowhere/cgroup") == FREE


def test_a_limit_without_statistics_counts(cgroups):
    limits = version_2(1000, 300)
    del limits["memory.stat"]
    assert cgroups("0::/a", {"a": limits}) == 700


def test_more_used_than_allowed_is_nothing_free(cgroups):
    assert cgroups("0::/a", {"a": version_2(1000, 1001)}) == 0


@pytest.mark.parametrize(
    ("width", "height", "side", "gibibytes"), [(64, 256, 341, 0.61), (16, 512, 683, 1.04), (16, 1024, 1365, 3.38)]
)
def test_optimised_pixels_take_what_was_measured(width, height, side, gibibytes):
    # Of VGG-19 up to conv5_1, at full and at a quarter of the width, with all that L-BFGS remembers.
    blocks = zip((2, 2, 4, 4, 1), (1, 2, 4, 8, 8), strict=True)
    network = keras.Sequential([keras.Input((None, None, 3))])
    for convolutions, factor in blocks:
        for _ in range(convolutions):
            network.add(keras.layers.Conv2D(width * factor, 3, padding="same"))
        network.add(keras.layers.AveragePooling2D(2))
    assert gibibytes < memory.needed_to_optimize(network, height, side) / 2**30 < 1.3 * gibibytes


def test_pixels_that_do_not_fit_are_refused_before_they_are_optimised(machine):
    vgg = vgg_network.build(narrow_vgg(19, (2, 1)), ["vgg_19/conv2/conv2_1"])
    machine.available = memory.needed_to_optimize(vgg, 1000, 2000)
    memory.check_optimization(vgg, 1000, 2000)
    with pytest.raises(InputError, match=r"^a picture of 4000 x 2000 pixels takes .*image_size=\d+ fits$") as error:
        memory.check_optimization(vgg, 2000, 4000)
    side = int(str(error.value).split("image_size=")[1].split()[0])
    assert 900 < side <= 1000
    with pytest.raises(InputError, match=r"^a picture of 2000 x 1000 pixels takes"):
        memory.check_optimization(vgg, 1000, 2000, margin=16)
