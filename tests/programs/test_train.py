import json
import shutil
import signal
import socket
import subprocess
import sys

import numpy as np
import pytest

from magstyle.checkpoints import model_files
from magstyle.models.transformer import StyleTransformer
from tests import processes
from tests.events import curves, images_in
from tests.places import ENV, ROOT
from tests.processes import start, wait_for
from tests.samples import STYLES

TINY = ["--train_steps=12"]


@pytest.fixture(scope="module")
def training_flags(training_flags, small_checkpoint):
    """Of a network that TensorFlow builds in half the time that it takes for the published one, however narrow."""
    return [*training_flags, f"--initial_checkpoint={small_checkpoint}", "--nomixed_precision"]


@pytest.fixture(scope="module")
def straight(tmp_path_factory, training_flags):
    """The folder of a training of twelve steps that nothing interrupted."""
    folder = tmp_path_factory.mktemp("straight")
    process = start("train", *training_flags, *TINY, f"--train_dir={folder}")
    assert process.wait() == 0, process.stderr
    return folder


@pytest.fixture(scope="module")
def uninterrupted(straight):
    """The curves of that training."""
    return curves(straight)


def assert_same_curves(found, expected):
    assert set(found) == set(expected)
    for name, values in expected.items():
        assert list(found[name]) == list(values), name
        np.testing.assert_allclose(list(found[name].values()), list(values.values()), rtol=1e-5, err_msg=name)


def test_paintings_photos_and_random_vgg_become_a_model_and_pictures(run, tmp_path, photos):
    """Create, train, evaluate, stylise: the whole sequence, offline."""
    styles, folder = tmp_path / "styles.tfrecord", tmp_path / "train"
    vgg, data = "--vgg_checkpoint=random:0", [f"--style_dataset_file={styles}", f"--content_files={photos}"]
    small = ["--alpha=0.1", "--batch_size=1", "--image_size=32"]
    created = run("create_style_dataset", f"--style_files={photos}/[12].jpg", f"--output_file={styles}", vgg)
    assert (created.returncode, created.stdout) == (0, f"{styles}\n"), created.stderr
    trained = run("train", *data, vgg, *small, "--train_steps=2", f"--train_dir={folder}")
    assert (trained.returncode, trained.stdout) == (0, f"{folder}/model-000002.keras\n"), trained.stderr
    # Without the 59 MB of VGG.
    assert sum(path.stat().st_size for path in folder.iterdir() if "events" not in path.name) < 3e6
    evaluated = run(
        *["evaluate", *data, vgg, *small, f"--train_dir={folder}", f"--eval_dir={tmp_path}/eval", "--num_evals=1"]
    )
    assert evaluated.returncode == 0, evaluated.stderr
    assert [line.split()[0] for line in evaluated.stdout.splitlines()] == ["style", "1", "2", "mean"]
    painted = run(
        *["stylize", f"--checkpoint={folder}", f"--input_image={photos}/0.jpg", "--which_styles=all"],
        f"--output_dir={tmp_path}/out",
    )
    assert painted.stdout.split() == [f"{tmp_path}/out/0_1.png", f"{tmp_path}/out/0_2.png"], painted.stderr


def test_a_training_leaves_a_model_with_names_curves_of_all_losses_and_pictures(straight, uninterrupted):
    ends = [f"vgg_16/conv{i}" for i in (1, 2, 3, 4)]
    assert set(uninterrupted) == {
        *("learning_rate", "total_loss", "total_content_loss", "total_style_loss"),
        *("content_loss/vgg_16/conv3", "weighted_content_loss/vgg_16/conv3"),
        *(f"{kind}/{end}" for kind in ("style_loss", "weighted_style_loss") for end in ends),
    }
    assert all(list(values) == list(range(12)) for values in uninterrupted.values())
    np.testing.assert_allclose(
        list(uninterrupted["total_loss"].values()),
        np.add(*(list(uninterrupted[f"total_{kind}_loss"].values()) for kind in ("content", "style"))),
        rtol=1e-5,
    )
    # Of every tenth step, and of the last.
    assert images_in(straight) == {(name, step) for name in ("photo", "style", "result") for step in (0, 10, 11)}
    model = model_files.load_model(straight)
    assert list(model.style_names) == STYLES
    assert model.filters == (4, 6, 8)


def test_a_checkpoint_of_the_full_model_stays_under_8_mb(tmp_path):
    path = tmp_path / "full.keras"
    model_files.save_model(StyleTransformer(num_styles=32), path)
    assert path.stat().st_size < 8e6


def test_a_training_killed_in_a_step_goes_on_as_if_nothing_had_happened(uninterrupted, training_flags, tmp_path, run):
    folder = tmp_path / "killed"
    flags = [*training_flags, *TINY, f"--train_dir={folder}", "--save_interval_secs=0.05"]
    process = start("train", *flags)
    wait_for(lambda: list(folder.glob("model-00000[3-9].keras")), process)
    process.kill()
    result = run("train", *flags)
    assert result.returncode == 0, result.stderr
    assert_same_curves(curves(folder), uninterrupted)


def test_a_training_on_jax_goes_on_where_it_stopped(uninterrupted, training_flags, tmp_path):
    pytest.importorskip("jax")
    # Not from tests.processes, whose programs have imported Keras on TensorFlow.
    jax = {
        "KERAS_BACKEND": "jax",
        # Compiling takes longer than what is compiled; and what one process compiles, the next need not.
        "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
        "JAX_COMPILATION_CACHE_DIR": str(tmp_path / "cache"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }
    for train_steps in (2, 4):
        flags = [*training_flags, f"--train_steps={train_steps}", f"--train_dir={tmp_path / 'train'}"]
        command = [sys.executable, str(ROOT / "bin" / "train.py"), *flags]
        result = subprocess.run(command, capture_output=True, text=True, env={**ENV, **jax})
        assert result.returncode == 0, result.stderr
    found = curves(tmp_path / "train")["total_loss"]
    assert list(found) == [0, 1, 2, 3]
    for step, loss in found.items():  # Of the same steps on TensorFlow, which did not stop.
        assert loss == pytest.approx(uninterrupted["total_loss"][step], rel=1e-5)


def test_a_training_killed_while_it_writes_goes_on_from_the_checkpoint_before(
    uninterrupted, training_flags, tmp_path, run
):
    folder = tmp_path / "killed"
    flags = [*training_flags, *TINY, f"--train_dir={folder}", "--save_interval_secs=0"]
    process = start("train", *flags)
    wait_for(lambda: list(folder.glob("model-00000[3-9].keras")), process)
    wait_for(lambda: list(folder.glob(".*-training_state.npz")), process)
    process.kill()
    result = run("train", *flags)
    assert result.returncode == 0, result.stderr
    assert_same_curves(curves(folder), uninterrupted)
    assert not list(folder.glob(".*"))


def test_a_full_disk_stops_a_training_and_it_goes_on_when_there_is_room(uninterrupted, training_flags, tmp_path, run):
    folder = tmp_path / "full"
    flags = [*training_flags, f"--train_dir={folder}"]
    assert run("train", *flags, "--train_steps=5").returncode == 0
    before = {path: path.read_bytes() for path in folder.iterdir() if "events" not in path.name}
    # A limit on the size of files, which answers a write as a full disk does.
    limit = len(before[folder / "training_state.npz"]) // 2
    stopped = run(
        *["train", *flags, "--train_steps=12", "--save_interval_secs=0", "--save_summaries_secs=100"],
        largest_file=limit,
    )
    assert stopped.returncode == 1
    assert stopped.stderr.splitlines()[-1] == f"train.py: cannot write {folder}/training_state.npz: File too large"
    assert {path: path.read_bytes() for path in folder.iterdir() if "events" not in path.name} == before
    assert run("train", *flags, "--train_steps=12").returncode == 0
    assert_same_curves(curves(folder), uninterrupted)


def test_ctrl_c_keeps_the_last_step(training_flags, tmp_path):
    folder = tmp_path / "stopped"
    process = start(
        *["train", *training_flags, "--train_steps=100000", f"--train_dir={folder}"],
        "--save_interval_secs=1000",
    )
    wait_for(lambda: len(curves(folder).get("total_loss", {})) > 3, process)
    process.send_signal(signal.SIGINT)
    assert process.wait() == 130
    assert "Traceback" not in process.stderr
    steps = len(curves(folder)["total_loss"])  # A step may have been made of which the curve does not know yet.
    assert model_files.step(model_files.latest(folder)) in (steps, steps + 1)


def test_ctrl_c_ends_a_step_at_once_when_it_comes_twice():
    """A step that does not end: Python sees to signals after it, so never."""
    step = """
import signal, sys, threading
import tensorflow as tf
from magstyle.programs import training_flags

def wait(x):
    print(flush=True)
    threading.Event().wait()

signal.signal(signal.SIGINT, lambda *_: sys.exit(1))
training_flags._end_at_once_when_told_twice()
next(iter(tf.data.Dataset.range(1).map(lambda x: tf.numpy_function(wait, [x], tf.int64))))
"""
    command = [sys.executable, "-c", step]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENV) as process:
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        while "Ctrl-C again stops at once, at the last checkpoint" not in process.stderr.readline():
            pass
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 130


def test_a_terminal_that_closes_twice_does_not_end_a_step_at_once():
    code = """
import signal, sys
from magstyle.programs import training_flags

for number in (signal.SIGHUP, signal.SIGINT):
    signal.signal(number, lambda *_: None)
training_flags._end_at_once_when_told_twice()
print(flush=True)
sys.stdin.read()
"""
    pipes = {name: subprocess.PIPE for name in ("stdin", "stdout", "stderr")}
    with subprocess.Popen([sys.executable, "-c", code], **pipes, text=True, env=ENV) as process:
        process.stdout.readline()
        for number, is_answered in ((signal.SIGHUP, True), (signal.SIGHUP, False), (signal.SIGINT, True)):
            process.send_signal(number)
            if is_answered:
                assert (process.stderr.readline(), process.stderr.readline()[:8]) == ("\n", "Stopping")
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 130


def test_photos_that_all_vanish_end_the_training_with_a_checkpoint(training_flags, photos, tmp_path, run):
    moved, folder = tmp_path / "photos", tmp_path / "train"
    shutil.copytree(photos, moved)
    flags = [flag for flag in training_flags if not flag.startswith("--content_files")]
    flags += [f"--content_files={moved}", f"--train_dir={folder}", "--save_interval_secs=1000"]
    process = start("train", *flags, "--train_steps=100000")
    wait_for(lambda: len(curves(folder).get("total_loss", {})) > 3, process)
    shutil.rmtree(moved)
    assert (process.wait(), process.stdout) == (1, "")
    last = process.stderr.splitlines()[-1]
    assert last.startswith(f"train.py: there is no image left that can be used in {moved}: cannot read {moved}/")
    assert last.endswith(": No such file or directory")
    assert "Warning" not in process.stderr
    step = model_files.step(model_files.latest(folder))
    assert step == len(curves(folder)["total_loss"])
    with np.load(folder / "training_state.npz") as state:
        assert state["optimizer/iteration"] == step
    shutil.copytree(photos, moved)
    result = run("train", *flags, f"--train_steps={step + 1}")
    assert result.stdout == f"{folder}/model-{step + 1:06d}.keras\n", result.stderr


def test_a_second_training_in_the_same_folder_is_refused(training_flags, tmp_path, run, refused):
    flags = [*training_flags, f"--train_dir={tmp_path}"]
    process = start("train", *flags, "--train_steps=100000", "--save_interval_secs=0")
    wait_for(lambda: list(tmp_path.glob("model-*.keras")), process)
    sentence = refused("train", *flags, *TINY)
    assert sentence == (
        f"train.py: another training is running in {tmp_path}; wait for its end, or choose another --train_dir"
    )
    process.kill()
    step = model_files.step(model_files.latest(tmp_path))
    result = run("train", *flags, f"--train_steps={step + 1}")
    assert result.stdout == f"{tmp_path}/model-{step + 1:06d}.keras\n", result.stderr


def test_a_finished_training_only_says_where_it_is(training_flags, tmp_path, run):
    flags = [*training_flags, "--train_steps=2", f"--train_dir={tmp_path}"]
    first, second = run("train", *flags), run("train", *flags)
    assert first.stdout == second.stdout == f"{tmp_path}/model-000002.keras\n"
    assert second.stderr == ""


def test_broken_photos_are_named_at_the_end(training_flags, tmp_path, photos, run):
    (tmp_path / "broken.jpg").write_text("no image")
    result = run(
        *["train", *training_flags, "--train_steps=9", f"--train_dir={tmp_path}/train"],
        *["--content_files", photos, tmp_path / "broken.jpg"],
    )
    assert result.returncode == 0, result.stderr
    assert result.stderr.splitlines()[-2:] == [
        "1 image left out:",
        f"  cannot read {tmp_path}/broken.jpg: it is not a JPEG, PNG, WebP, AVIF, GIF, TIFF or BMP image",
    ]


def test_a_loss_that_explodes_ends_in_a_sentence(training_flags, tmp_path, run):
    result = run("train", *training_flags, *TINY, f"--train_dir={tmp_path}", "--learning_rate=1e30")
    assert result.returncode == 1
    last = result.stderr.splitlines()[-1]
    assert last.startswith("train.py: the loss was ")
    assert "lower --learning_rate" in last


def test_johnsons_network_is_the_case_of_one_style(run, tmp_path, photos, vgg_file):
    styles = tmp_path / "styles.tfrecord"
    data = [f"--content_files={photos}", f"--vgg_checkpoint={vgg_file}", f"--style_dataset_file={styles}"]
    run(
        "create_style_dataset",
        f"--style_files={photos}/1.jpg",
        f"--output_file={styles}",
        f"--vgg_checkpoint={vgg_file}",
    )
    small = ["--alpha=0.1", "--image_size=32", "--train_steps=1", f"--train_dir={tmp_path}/train"]
    result = run("train", f"--flagfile={ROOT}/configs/johnson.cfg", *data, *small)
    assert result.stdout == f"{tmp_path}/train/model-000001.keras\n", result.stderr
    assert model_files.load_model(tmp_path / "train").style_names == ("1",)


def test_the_flags_of_painters_train(run, tmp_path, training_flags):
    small = ["--alpha=0.1", "--image_size=32", "--train_steps=1", f"--train_dir={tmp_path}/train"]
    training_flags = [flag for flag in training_flags if not flag.startswith("--initial_checkpoint")]
    result = run("train", "--flagfile=configs/painters.cfg", *training_flags, *small, cwd=ROOT)
    assert result.returncode == 0, result.stderr
    assert "style_loss/vgg_16/conv4" in curves(tmp_path / "train")


@pytest.mark.parametrize("option", ["--jit_compile", "--mixed_precision"])
def test_faster_arithmetic_trains_the_same_network(option, uninterrupted, training_flags, tmp_path):
    # Compiling takes longer than what is compiled.
    quick = {"XLA_FLAGS": "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"}
    command = [str(ROOT / "bin" / "train.py"), *training_flags, *TINY, option, f"--train_dir={tmp_path / 'fast'}"]
    result = processes.run(command, {**ENV, **quick})
    assert result.returncode == 0, result.stderr
    found = curves(tmp_path / "fast")
    assert found["total_loss"][0] == pytest.approx(uninterrupted["total_loss"][0], rel=0.05)
    model = model_files.load_model(tmp_path / "fast")
    assert {variable.dtype for variable in model.variables} == {"float32"}
    assert model.compute_dtype == "float32"


def test_coefficients_and_all_weights_enter_the_loss(training_flags, tmp_path, run):
    result = run(
        *["train", *training_flags, "--train_steps=1", f"--train_dir={tmp_path}"],
        *["--content_weights={'vgg_16/pool2': 0.5}", "--style_weights={'vgg_16/conv2/conv2_1': 2}"],
        *["--style_coefficients={'wave': 3, 'scream': 3}", "--total_variation_weight=7", "--checkerboard_weight=900"],
        *["--mesh_weight=5", "--image_size=32", "--palette_weight=2"],
    )
    assert result.returncode == 0, result.stderr
    first = {name: values[0] for name, values in curves(tmp_path).items()}
    assert first["total_loss"] == pytest.approx(
        0.5 * first["content_loss/vgg_16/pool2"]
        + 3 * 2 * first["style_loss/vgg_16/conv2/conv2_1"]
        + 7 * first["total_variation_loss"]
        + 900 * first["checkerboard_loss"]
        + 5 * first["mesh_loss"]
        + 3 * 2 * first["palette_loss"],
        rel=1e-5,
    )


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (
            ["--style_dataset_file=nowhere"],
            "there is no style dataset at nowhere; create_style_dataset makes one",
        ),
        (["--num_styles=3"], "has 2 styles, not --num_styles=3"),
        (["--tfds_name=mnist"], "give the photos by one of --content_files, --imagenet_data_dir and --tfds_name"),
        (["--content_files=nowhere/*.jpg"], "no image at nowhere/*.jpg"),
        (["--vgg_checkpoint=nowhere.npz"], "there are no VGG weights at nowhere.npz"),
        (["--content_weights={'vgg_19/conv3': 1}"], "has no end point 'vgg_19/conv3'; it has vgg_16/conv1/conv1_1, "),
        (["--style_weights={'vgg_16/conv1': 'much'}"], "must be weights by end point, such as"),
        (["--style_coefficients=[1, 2, 3]"], "must be a list of one number per style, or a dictionary by style"),
        (["--style_coefficients={'sunflowers': 1}"], "the styles are scream, wave"),
        (["--image_size=33"], "must be a multiple of 4"),
        (["--image_size=28", "--mesh_weight=1"], "--image_size=28 must be at least 32 unless --mesh_weight is 0"),
        (["--distribution=multi_worker"], "needs the variable TF_CONFIG"),
        (["--distribution=everywhere"], "value should be one of <none|mirrored|multi_worker>"),
        (["--train_dir=/proc/none"], "cannot make the folder /proc/none"),
    ],
)
def test_bad_flags_are_refused_in_a_sentence(refused, training_flags, tmp_path, flags, sentence):
    if any(flag.startswith("--content_files") for flag in flags):
        training_flags = [flag for flag in training_flags if not flag.startswith("--content_files")]
    assert sentence in refused("train", *training_flags, *TINY, f"--train_dir={tmp_path}/train", *flags)
    assert not (tmp_path / "train").exists() or not list((tmp_path / "train").iterdir())


def workers(flags, folder) -> list:
    """How to start each of two workers on this machine."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
    cluster = {"worker": [f"127.0.0.1:{s.getsockname()[1]}" for s in sockets]}
    for s in sockets:
        s.close()

    def worker(index):
        config = json.dumps({"cluster": cluster, "task": {"type": "worker", "index": index}})
        return start(
            *["train", *flags, f"--train_dir={folder}", "--distribution=multi_worker"],
            env={**ENV, "TF_CONFIG": config},
        )

    return [lambda: worker(0), lambda: worker(1)]


def test_two_workers_train_together_and_survive_the_loss_of_either(training_flags, uninterrupted, tmp_path):
    folder = tmp_path / "together"
    flags = [*training_flags, "--train_steps=30", "--save_interval_secs=0.2"]

    def step():
        return max(map(model_files.step, folder.glob("model-*.keras")), default=0)

    start_worker = workers(flags, folder)
    running = [start_worker[0](), start_worker[1]()]
    wait_for(lambda: step() >= 3, running[0])
    running[1].kill()
    last = step()
    running[1] = start_worker[1]()
    wait_for(lambda: step() > last, running[0])
    running[0].kill()
    assert "A worker was lost." in running[0].stderr
    running[0] = start_worker[0]()
    assert [process.wait() for process in running] == [0, 0], [process.stderr for process in running]
    assert running[0].stdout == f"{folder}/model-000030.keras\n"
    assert running[1].stdout == ""
    assert "A worker was lost." in running[1].stderr
    assert len(list(folder.glob("model-*.keras"))) == 5
    assert len(list(folder.glob("training_state.npz"))) == 1
    found = curves(folder)["total_loss"]
    assert list(found) == list(range(30))
    # The same photos as on one machine, so the same loss before the first step.
    assert found[0] == pytest.approx(uninterrupted["total_loss"][0], rel=1e-4)
