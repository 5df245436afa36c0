"""Runs the commands of the README as they stand there, on small photos and paintings under the names that it uses."""

import os
import re
import subprocess

import numpy as np
import pytest

from magstyle import checkpoints
from magstyle.models.transformer import StyleTransformer
from magstyle.models.vgg import CONVOLUTIONS_PER_BLOCK
from tests import processes
from tests.places import ENV, ROOT
from tests.samples import narrow_vgg, picture

# What is added to a command here, to make seconds of hours.
_VGG = "--vgg_checkpoint=vgg_19_quarter.npz"
_SMALL_TRAINING = f"--train_steps=2 --decay_steps=0 --batch_size=2 --image_size=32 {_VGG}"
_SMALL = {
    "create_style_dataset": f"--image_size=32 {_VGG}",
    "train": f"{_SMALL_TRAINING} --alpha=0.1",
    "finetune": _SMALL_TRAINING,
    "evaluate": f"--num_evals=1 --batch_size=2 --image_size=32 {_VGG}",
    "convert_tflite": "--image_size=32",
    "build_page": "--image_size=32 --preview_size=32",
}
# These make or need what a test cannot have: another environment, other machines, ImageNet, many minutes.
_ELSEWHERE = r"(git|cd|make|source|export|docker) |bin/benchmark\.py|.*--(distribution|tfds_name|tfrecord_files)"


def commands() -> list[str]:
    """Those of the indented blocks, in order; what is spread over lines, by a backslash or a loop, as one."""
    text = re.sub("^```.*?^```", "", (ROOT / "README.md").read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    blocks = re.findall(r"(?:^    .*\n)+", text, re.MULTILINE)
    lines = [line for block in blocks for line in re.sub(r"\\\n\s*", "", block).splitlines()]
    return [line[4:] for line in lines]


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """The project, and in the same folder what the README takes for granted."""
    folder = tmp_path_factory.mktemp("clone")
    for name in ("bin", "configs", "examples"):
        os.symlink(ROOT / name, folder / name)
    picture(0, (48, 40)).save(folder / "photo.jpg")
    for name, count in {"photos": 3, "test_photos": 3, "paintings": 2, "my_paintings": 2}.items():
        (folder / name).mkdir()
        for k in range(count):
            picture(k, (48, 40)).save(folder / name / f"{name}{k}.jpg")
    np.savez(folder / "vgg_19_quarter.npz", **narrow_vgg(19, [*CONVOLUTIONS_PER_BLOCK[19][:4], 1]))
    checkpoints.save_model(StyleTransformer(2, alpha=0.1), folder / "model.ckpt-40000")
    return folder


def arguments(command: str, folder) -> list[str]:
    """What a shell makes of a command."""
    shell = ["sh", "-c", f"printf '%s\\0' {command}"]
    return subprocess.run(shell, cwd=folder, stdout=subprocess.PIPE, text=True, check=True).stdout.split("\0")[:-1]


def test_the_commands_work_one_after_the_other(clone):
    run = []
    for command in commands():
        if re.match(_ELSEWHERE, command):
            continue
        program = re.match(r"bin/(\w+)\.py ", command)
        assert program, f"no program: {command}"
        small = arguments(f"{command} {_SMALL.get(program[1], '')}", clone)
        # Below Python runs it; a shell needs these.
        assert os.access(clone / small[0], os.X_OK), small[0]
        assert (clone / small[0]).read_text(encoding="utf-8").startswith("#!/usr/bin/env python3\n"), small[0]
        result = processes.run(small, ENV, clone)
        if "URL fetch failure on https://registry.npmjs.org" in result.stderr:
            continue
        assert result.returncode == 0, f"{command}\n{result.stderr}"
        for path in re.findall(r"^\S+/\S+$", result.stdout, re.MULTILINE):
            assert list(clone.glob(f"{path}*")), path  # A Magenta checkpoint is several files.
        run.append(program[1])
    assert {"stylize", "create_style_dataset", "train", "finetune", "evaluate", "convert_checkpoint"} <= set(run)
