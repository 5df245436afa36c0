"""Beam's runners for many machines, as far as they run on one.

Dask is no part of the tests' requirements: `pip install 'apache-beam[dask]'` brings it.
"""

import concurrent.futures
import os
import subprocess
import sys
import time

import numpy as np
import pytest
import tensorflow as tf

from magstyle.data import images
from magstyle.datasets.dataset_files import stylize_dataset
from magstyle.errors import InputError

beam_pipeline = pytest.importorskip("magstyle.datasets.beam_pipeline")
LOOPBACK = "--runner=PortableRunner --job_endpoint=embed --environment_type=LOOPBACK"


@pytest.fixture
def folder(tmp_path):
    """Nine photos, and a file that is none."""
    rng = np.random.default_rng(0)
    for i in range(9):
        images.write_image(tmp_path / "photos" / f"{i}.png", rng.random((20, 30 + i, 3)))
    (tmp_path / "photos" / "bad.jpg").write_text("no image")
    return tmp_path / "photos"


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def stylize(folder, name, model, **options):
    """Stylises the photos of a folder into one beside it; returns what was written there, and the counts."""
    out = folder.parent / name
    made = stylize_dataset(out, checkpoint=model, content_files=folder, **options)
    return contents(out), made[1:]


@pytest.mark.parametrize("options", [{"num_shards": 3}, {"output_format": "png"}])
def test_a_portable_runner_makes_the_same_as_the_direct_one(small_model, folder, options):
    expected = stylize(folder, "direct", small_model, **options)
    assert stylize(folder, "portable", small_model, beam_options=LOOPBACK, **options) == expected


def test_an_error_of_a_worker_of_a_portable_runner_is_raised_as_it_was(small_model, folder, monkeypatch):
    def refuse(*_):
        raise InputError("cannot write train: no space left on device", "output_dir")

    monkeypatch.setattr(beam_pipeline._ToRecords, "_write", refuse)
    with pytest.raises(InputError, match=r"^cannot write train: no space left on device$") as error:
        stylize(folder, "out", small_model, beam_options=LOOPBACK)
    assert error.value.arguments == ("output_dir",)


def test_a_runner_that_cannot_start_is_one_sentence(small_model, folder, monkeypatch):
    server = pytest.importorskip("apache_beam.utils.subprocess_server")

    def without_network(*_, **__):
        raise RuntimeError("Unable to fetch server.jar: <unknown host>. Also failed to fetch from a mirror. Stage it.")

    monkeypatch.setattr(server.JavaJarServer, "local_jar", without_network)
    for runner, reason in {
        "FlinkRunner": "Unable to fetch server.jar: <unknown host>",
        "SparkRunner": "Unable to fetch server.jar: <unknown host>",
        "PortableRunner": "You must specify a --job_endpoint when using --runner=PortableRunner",
    }.items():
        with pytest.raises(InputError) as error:
            stylize(folder, "out", small_model, beam_options=f"--runner={runner}")
        assert str(error.value) == f"beam_options=--runner={runner}: the runner failed: {reason}"
        assert error.value.arguments == ("beam_options",)


@pytest.mark.parametrize(
    ("message", "sentence"),
    [
        ("", "RuntimeError"),
        (TimeoutError(), "it does not answer"),
        ("Worker died.", "Worker died"),
        (
            "It failed. Traceback (most recent call last):\n  File 'a'\nOSError: no route to host\n",
            "OSError: no route to host",
        ),
    ],
)
def test_an_error_of_a_runner_is_one_sentence(message, sentence):
    with pytest.raises(InputError) as error, beam_pipeline._unwrapped_errors("FlinkRunner"):
        raise message if isinstance(message, Exception) else RuntimeError(message)
    assert str(error.value) == f"beam_options=--runner=FlinkRunner: the runner failed: {sentence}"


def test_a_folder_that_the_workers_do_not_share_is_one_sentence(small_model, folder, monkeypatch):
    monkeypatch.setattr(beam_pipeline._Finish, "process", lambda *_: None)  # It wrote to a disk of its own.
    with pytest.raises(InputError, match=r"the workers did not write to .*out; all machines must share it") as error:
        stylize(folder, "out", small_model)
    assert error.value.arguments == ("output_dir",)


def test_an_output_in_a_bucket_is_refused_before_any_work(small_model, folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="cannot use gs://bucket/out: it must be a path on a local or shared disk"):
        stylize_dataset("gs://bucket/out", checkpoint=small_model, content_files=folder)
    assert os.listdir(tmp_path) == ["photos"]


@pytest.fixture
def on_dask():
    """Beam's options for a cluster of two workers, and their processes."""
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(n_workers=0, dashboard_address=None, silence_logs="CRITICAL") as cluster:
        address = cluster.scheduler_address
        command = [sys.executable, "-m", "distributed.cli.dask_worker", address, "--nthreads=1", "--no-nanny"]
        workers = [subprocess.Popen([*command, "--no-dashboard"], stderr=subprocess.DEVNULL) for _ in range(2)]
        runner = "--runner=apache_beam.runners.dask.dask_runner.DaskRunner"
        yield f"{runner} --dask_client_address={address} --dask_partition_size=1", workers
        for worker in workers:
            worker.kill()
            worker.wait()


def test_dask_makes_the_same_as_the_direct_runner(small_model, folder, on_dask):
    for options in ({"num_shards": 3}, {"output_format": "png"}):
        name = "-".join(options)
        expected = stylize(folder, f"direct-{name}", small_model, **options)
        assert stylize(folder, f"dask-{name}", small_model, beam_options=on_dask[0], **options) == expected


def test_a_killed_worker_of_dask_loses_and_doubles_nothing(small_model, folder, on_dask):
    options, workers = on_dask
    for i in range(9, 60):
        os.link(folder / f"{i % 9}.png", folder / f"{i}.png")
    expected, _ = stylize(folder, "direct", small_model, num_shards=10)
    out = folder.parent / "dask"
    with concurrent.futures.ThreadPoolExecutor() as pool:
        running = pool.submit(stylize, folder, "dask", small_model, num_shards=10, beam_options=options)
        while len(list(out.glob("train-*"))) < 2:
            time.sleep(0.01)
            assert not running.done(), running.result()
        workers[0].kill()
        workers[0].wait()
        assert running.result()[0] == expected
    records = tf.data.TFRecordDataset([str(path) for path in sorted(out.glob("train-*"))]).as_numpy_iterator()
    names = [tf.train.Example.FromString(r).features.feature["image/filename"].bytes_list.value[0] for r in records]
    assert sorted(names) == sorted(f"{i}.png".encode() for i in range(60))
