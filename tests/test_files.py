import io
import os
import pathlib
import subprocess
import sys
import zipfile

import h5py
import numpy as np
import pytest

import magstyle
from magstyle import files
from magstyle.checkpoints import vgg_files
from magstyle.data import photos, styles
from magstyle.errors import InputError
from magstyle.optimization import deep_dream_files


def test_a_file_appears_whole_and_makes_its_folder(tmp_path):
    with files.replacing(tmp_path / "new" / "name.txt") as temporary:
        temporary.write_text("whole")
        assert temporary.suffix == ".txt"
        assert not (tmp_path / "new" / "name.txt").exists()
    assert (tmp_path / "new" / "name.txt").read_text() == "whole"
    assert os.listdir(tmp_path / "new") == ["name.txt"]


def test_a_failure_leaves_the_old_file_and_no_other(tmp_path):
    (tmp_path / "name.txt").write_text("old")
    with pytest.raises(KeyboardInterrupt), files.replacing(tmp_path / "name.txt") as temporary:
        temporary.write_text("half")
        raise KeyboardInterrupt
    with pytest.raises(InputError, match="No space left"), files.replacing(tmp_path / "name.txt") as temporary:
        temporary.write_text("half")
        raise OSError(28, "No space left on device")
    assert (tmp_path / "name.txt").read_text() == "old"
    assert os.listdir(tmp_path) == ["name.txt"]


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"cannot make the folder .*file"):
        files.make_folder(tmp_path / "file")
    with pytest.raises(InputError, match=r"cannot make the folder .*inside"):
        files.make_folder(tmp_path / "file" / "inside")


@pytest.mark.parametrize("function", [files.expanded, files.make_folder, files.check_name])
@pytest.mark.parametrize(
    "address", ["gs://bucket/out", "S3://bucket", "hdfs://host:8020/out", "https://a.b/c.png", pathlib.Path("gs://out")]
)
def test_an_address_does_not_become_a_local_folder(function, address, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="it must be a path on a local or shared disk, not an address"):
        function(address)
    assert os.listdir(tmp_path) == []


def test_names_with_colons_are_no_addresses(tmp_path):
    for name in ("C:/pictures", "a:b", "12:30/a.png", f"{tmp_path}/gs:/out"):
        assert str(files.expanded(name)) == name
        files.check_name(name)


def test_a_file_is_locked_for_one_process_until_it_ends(tmp_path):
    path, refusal = tmp_path / "lock", InputError("it is taken")
    holds = (
        "import sys\nfrom magstyle import errors, files\n"
        "with files.locked(sys.argv[1], errors.InputError('')):\n    print(flush=True)\n    sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", holds, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        process.stdout.readline()
        with pytest.raises(InputError, match="it is taken"), files.locked(path, refusal):
            pass
        process.kill()
        process.wait()
        with files.locked(path, refusal), pytest.raises(InputError, match="it is taken"), files.locked(path, refusal):
            pass
    with files.locked(path, refusal):
        pass


def test_what_a_killed_program_left_half_written_is_removed_when_its_folder_is_next_written_to(tmp_path):
    writes = (
        "import pathlib, sys\nfrom magstyle import files\n"
        "with files.replacing(sys.argv[1]) as temporary:\n    temporary.mkdir()\n    print(flush=True)\n"
        "    sys.stdin.read()"
    )
    command = [sys.executable, "-c", writes, tmp_path / "model"]
    with (
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as running,
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as killed,
    ):
        for process in (running, killed):
            process.stdout.readline()
        killed.kill()
        killed.wait()
        elsewhere = ".magstyle-00000000-7-a.png"  # Another machine's, on a shared disk.
        for name in (elsewhere, f".{killed.pid}-a.png", ".magstyle", "7-a.png"):
            (tmp_path / name).write_text("not ours")
        before = set(os.listdir(tmp_path))
        with files.replacing(tmp_path / "new.txt") as temporary:
            temporary.write_text("")
        (gone,) = before - set(os.listdir(tmp_path))
        assert f"-{killed.pid}-" in gone
        running.communicate()
    assert (tmp_path / "model").is_dir()


@pytest.mark.parametrize("stem", ["a" * 250, "é" * 125])
def test_the_longest_names_can_be_written_and_longer_ones_are_one_sentence(stem, tmp_path):
    with files.replacing(tmp_path / f"{stem}.png") as temporary:
        temporary.write_text("")
        assert temporary.suffix == ".png"
    assert os.listdir(tmp_path) == [f"{stem}.png"]
    with pytest.raises(InputError, match="name too long"), files.replacing(tmp_path / f"aa{stem}.png"):
        pytest.fail("has begun")


def test_whatever_a_reader_raises_is_one_sentence(tmp_path):
    path = tmp_path / "a.npz"
    path.write_text("no zip")
    for error in (RuntimeError("x"), NotImplementedError(), KeyError("x"), zipfile.BadZipFile(), OSError("h5")):
        with pytest.raises(InputError, match="it is not a valid zip"), files.reading(path, "zip"):
            raise error
    with pytest.raises(InputError, match="there is no memory for it"), files.reading(path, ".npz file"):
        raise MemoryError
    with pytest.raises(InputError, match="No such file"), files.reading(tmp_path / "none", ".npz file"):
        (tmp_path / "none").read_bytes()
    with pytest.raises(InputError, match="as it was"), files.reading(path, ".npz file"):
        raise InputError("as it was")
    with pytest.raises(KeyboardInterrupt), files.reading(path, ".npz file"):
        raise KeyboardInterrupt


def test_a_named_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.npz")
    path = tmp_path / "pipe.npz"
    with pytest.raises(InputError, match="it is not a regular file"), files.reading(path, ".npz file"):
        pytest.fail("has been opened")


def test_files_that_ask_for_far_more_memory_than_they_take_are_refused(tmp_path):
    zeros = np.zeros(10**7, np.float32)
    np.savez(tmp_path / "plain.npz", zeros)
    files.check_archive(tmp_path / "plain.npz")
    np.savez_compressed(tmp_path / "bomb.npz", zeros)
    with pytest.raises(InputError, match=r"bomb\.npz: it asks for 4.* bytes of memory, but holds only"):
        files.check_archive(tmp_path / "bomb.npz")
    with h5py.File(tmp_path / "plain.h5", "w") as file:
        file["a/b"] = zeros
    assert files.check_hdf5(tmp_path / "plain.h5") == zeros.nbytes
    with h5py.File(tmp_path / "bomb.h5", "w") as file:
        file.create_dataset("a/b", shape=10**12, chunks=(1000,))
    for file in (None, io.BytesIO((tmp_path / "bomb.h5").read_bytes())):
        with pytest.raises(InputError, match=r"bomb\.h5: it asks for"):
            files.check_hdf5(tmp_path / "bomb.h5", file)


def _external_link(file, secret):
    file["layers/a"] = h5py.ExternalLink(secret, "/")


def _external_storage(file, secret):
    file.create_dataset("layers/a", (2,), "uint8", external=[(str(secret), 0, h5py.h5f.UNLIMITED)])


def _virtual_dataset(file, secret):
    layout = h5py.VirtualLayout((2,), "uint8")
    layout[:] = h5py.VirtualSource(secret, "a", shape=(2,))
    file.create_virtual_dataset("layers/a", layout)


@pytest.mark.parametrize("follow", [_external_link, _external_storage, _virtual_dataset])
def test_an_hdf5_file_that_takes_content_from_others_is_refused_before_they_are_opened(
    follow, small_checkpoint, tmp_path
):
    pipe = tmp_path / "pipe.h5"
    os.mkfifo(pipe)  # Whoever opened it would wait forever.
    with h5py.File(tmp_path / "vgg.h5", "w") as file:
        follow(file, pipe)
    with zipfile.ZipFile(small_checkpoint) as archive, zipfile.ZipFile(tmp_path / "model.keras", "w") as changed:
        for name in archive.namelist():
            is_weights = name.endswith(".h5")
            changed.writestr(name, (tmp_path / "vgg.h5").read_bytes() if is_weights else archive.read(name))
    for name, read in (
        ("vgg.h5", vgg_files.load_vgg),
        ("model.keras", magstyle.load_model),
        ("model.keras", lambda path: deep_dream_files.open_network(path, ["mixed3"])),
    ):
        with pytest.raises(InputError, match=rf"cannot read .*{name}: it takes content from other files"):
            read(tmp_path / name)


def test_links_within_an_hdf5_file_are_followed(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["b"] = np.ones(3, np.float32)
        file["c"] = h5py.SoftLink("/b")
    assert files.check_hdf5(tmp_path / "a.h5") == 12


@pytest.mark.parametrize(
    ("checkpoint", "name"),
    [
        ("painters", "painters.tflite"),
        ("~/models/mine.keras", "mine.tflite"),
        ("train/", "train.tflite"),
        ("magenta/model.ckpt-40000.index", "model.ckpt-40000.tflite"),
        ("model.ckpt", "model.tflite"),
        (None, "model.tflite"),
    ],
)
def test_a_folder_stands_for_a_file_in_it_that_is_called_after_the_checkpoint(tmp_path, checkpoint, name):
    assert files.inside(tmp_path, checkpoint, ".tflite") == tmp_path / name
    assert files.inside(tmp_path / "new.tflite", checkpoint, ".tflite") == tmp_path / "new.tflite"


@pytest.mark.parametrize("path", ["http://example.com/photo.jpg", "s4://bucket/photo.jpg"])
def test_an_address_without_a_file_system_is_refused(path):
    with pytest.raises(InputError, match=rf"^cannot use {path}: there are no files at \w+://; download it first$"):
        files.for_tensorflow(path)
    with pytest.raises(InputError, match=f"^cannot use {path}: "):
        files.read_bytes(path)
    with pytest.raises(InputError, match=f"^cannot use {path}: "):
        photos.find([path])
    with pytest.raises(InputError, match=f"^cannot use {path}: "):
        styles.read(path)
