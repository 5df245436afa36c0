"""TensorFlow's files, read without TensorFlow, which writes them here."""

import os
import struct

import numpy as np
import pytest
import tensorflow as tf

from magstyle.checkpoints import tensorflow_files
from magstyle.errors import InputError

RNG = np.random.default_rng(0)
VARIABLES = {
    "noise": RNG.normal(size=(3, 5, 7)).astype(np.float32),
    "double": RNG.normal(size=4),
    "number": np.float32(3),
    "empty": np.zeros((0, 3), np.float32),
    "large": RNG.normal(size=(200, 300)).astype(np.float32),
}


def write_v1(variables, path):
    tf.raw_ops.Save(filename=str(path), tensor_names=list(variables), data=list(variables.values()))


def write_v2(variables, path, slices=""):
    names, values = list(variables), list(variables.values())
    tf.raw_ops.SaveV2(prefix=str(path), tensor_names=names, shape_and_slices=[slices] * len(names), tensors=values)


def write_graph(constants, path):
    graph = tf.compat.v1.GraphDef()
    for name, value in constants.items():
        node = graph.node.add(op="Const", name=name)
        node.attr["dtype"].type = tf.float32.as_datatype_enum
        node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(value))
    path.write_bytes(graph.SerializeToString())


def read(path):
    return tensorflow_files.read_checkpoint(str(path), lambda name: True)


def assert_same(found, expected):
    assert sorted(found) == sorted(expected)
    for name, value in expected.items():
        assert (found[name].dtype, found[name].shape) == (value.dtype, value.shape)
        np.testing.assert_array_equal(found[name], value)


@pytest.mark.parametrize("write", [write_v1, write_v2])
def test_a_checkpoint_is_read_as_tensorflow_wrote_it(tmp_path, write):
    write({**VARIABLES, "global_step": np.int64(40000), "text": np.array([b"text"])}, tmp_path / "model.ckpt")
    assert_same(read(tmp_path / "model.ckpt"), VARIABLES)


@pytest.mark.parametrize("name", ["v1/model.ckpt", "v2/model.ckpt-40000"])
def test_the_checkpoints_of_shared_are_read_as_tensorflow_reads_them(shared, name):
    path = str(shared("reference") / f"transformer_checkpoint-{name}")
    reader = tf.train.load_checkpoint(path)
    names = [name for name, dtype in reader.get_variable_to_dtype_map().items() if dtype == tf.float32]
    assert len(names) >= 48
    assert_same(read(path), {name: reader.get_tensor(name) for name in names})


def test_the_constants_of_a_graph_are_read_as_tensorflow_reads_them(shared):
    path = shared("models/stylize_quantized.pb")
    graph = tf.compat.v1.GraphDef.FromString(path.read_bytes())
    expected = {
        node.name: tf.make_ndarray(node.attr["value"].tensor)
        for node in graph.node
        if node.op == "Const" and node.name.endswith(("gamma", "beta", "_min", "_max", "_quint8_const"))
    }
    found = tensorflow_files.read_graph_constants(str(path), lambda name: name in expected)
    assert len(expected) > 80
    assert_same(found, {n: v.view(np.uint8) if v.dtype.names else v for n, v in expected.items()})


@pytest.mark.parametrize("write", [write_v1, write_v2])
def test_only_what_is_wanted_is_read(tmp_path, write):
    write({"wanted": np.ones(3, np.float32), "wanted/Adam": np.ones(3, np.float32)}, tmp_path / "model.ckpt")
    found = tensorflow_files.read_checkpoint(str(tmp_path / "model.ckpt"), lambda name: name == "wanted")
    assert_same(found, {"wanted": np.ones(3, np.float32)})


def test_a_checkpoint_of_several_shards_is_read_as_a_whole(tmp_path):
    parts = {"a": {"one": VARIABLES["noise"], "two": VARIABLES["large"]}, "b": {"three": VARIABLES["double"]}}
    for part, variables in parts.items():
        write_v2(variables, tmp_path / part)
    tf.raw_ops.MergeV2Checkpoints(
        checkpoint_prefixes=[str(tmp_path / part) for part in parts], destination_prefix=str(tmp_path / "model.ckpt")
    )
    assert (tmp_path / "model.ckpt.data-00001-of-00002").exists()
    assert_same(read(tmp_path / "model.ckpt"), parts["a"] | parts["b"])
    os.remove(tmp_path / "model.ckpt.data-00001-of-00002")
    with pytest.raises(InputError, match=r"model.ckpt: .*model.ckpt.data-00001-of-00002 is missing"):
        read(tmp_path / "model.ckpt")


def test_partitioned_variables_are_one_sentence(tmp_path):
    write_v2({"part": np.ones((2, 3), np.float32)}, tmp_path / "v2.ckpt", slices="4 3 0,2:0,3")
    tf.raw_ops.SaveSlices(
        filename=str(tmp_path / "v1.ckpt"),
        tensor_names=["part", "part"],
        shapes_and_slices=["4 3 0,2:-", "4 3 2,2:-"],
        data=[np.ones((2, 3), np.float32)] * 2,
    )
    for name in ("v1.ckpt", "v2.ckpt"):
        with pytest.raises(InputError, match=f"{name}: part is partitioned; only whole variables can be read"):
            read(tmp_path / name)


def is_read(path):
    """Whether a file, which may be damaged, is read; otherwise it must be one sentence that names it."""
    try:
        read(path)
    except InputError as error:
        assert path.name in str(error)
        assert "\n" not in str(error)
        return False
    return True


def flipped(content, position):
    return content[:position] + bytes([content[position] ^ 255]) + content[position + 1 :]


def test_no_damage_is_more_than_one_sentence(tmp_path):
    variables = {name: VARIABLES[name] for name in ("double", "number")}
    write_v1(variables, tmp_path / "v1.ckpt")
    write_v2(variables, tmp_path / "v2.ckpt")
    for name, damaged in (("v1.ckpt", "v1.ckpt"), ("v2.ckpt", "v2.ckpt.index")):
        content = (tmp_path / damaged).read_bytes()
        for length in range(0, len(content), 7):
            (tmp_path / damaged).write_bytes(content[:length])
            assert not is_read(tmp_path / name)
        refused = 0
        for position in range(len(content)):
            (tmp_path / damaged).write_bytes(flipped(content, position))
            refused += not is_read(tmp_path / name)
        # The rest are other numbers, or parts that are not read.
        assert refused > len(content) / 4
        (tmp_path / damaged).write_bytes(content)
        assert_same(read(tmp_path / name), variables)


def test_damaged_data_of_a_v2_checkpoint_is_one_sentence(tmp_path):
    write_v2(VARIABLES, tmp_path / "model.ckpt")
    data = tmp_path / "model.ckpt.data-00000-of-00001"
    content = data.read_bytes()
    for length in (0, 1, len(content) // 2, len(content) - 1):
        data.write_bytes(content[:length])
        assert not is_read(tmp_path / "model.ckpt")
    data.unlink()
    os.mkfifo(data)
    assert not is_read(tmp_path / "model.ckpt")


def test_a_damaged_graph_is_one_sentence_or_other_numbers(tmp_path):
    path = tmp_path / "graph.pb"
    write_graph({"few": np.arange(3, dtype=np.float32), "same": np.full(30, 0.5, np.float32)}, path)
    content = path.read_bytes()
    for position in range(len(content)):
        for damaged in (content[:position], flipped(content, position)):
            path.write_bytes(damaged)
            try:
                tensorflow_files.read_graph_constants(str(path), lambda name: True)
            except InputError as error:
                assert "graph.pb" in str(error)


def field(number, value):
    """A field of a protobuf message."""
    content = value if isinstance(value, bytes) else b""
    return varint(number << 3 | 2 if content else number << 3) + varint(len(content) or value) + content


def varint(number):
    return bytes([number & 127 | 128]) + varint(number >> 7) if number > 127 else bytes([number])


def block(entries):
    content = b"".join(varint(0) + varint(len(k)) + varint(len(v)) + k + v for k, v in entries)
    return content + struct.pack("<II", 0, 1)


def write_table(path, entries, references=1, compress=None):
    """A table of one block, to which the index refers several times, without checksums."""
    content = compress(block(entries)) if compress else block(entries)
    place = varint(0) + varint(len(content))
    index = block([(b"%09d" % i, place) for i in range(references)])
    end = struct.pack("<Q", 0xDB4775248B80FB57)
    footer = (varint(0) + varint(0) + varint(len(content) + 5) + varint(len(index))).ljust(40, b"\0") + end
    path.write_bytes(content + bytes([compress is not None]) + bytes(4) + index + bytes(5) + footer)


def test_a_compressed_index_is_read(tmp_path):
    snappy = pytest.importorskip("pyarrow").Codec("snappy")
    many = {f"{name}/{i}": value for name, value in VARIABLES.items() for i in range(200)}
    write_v2(many, tmp_path / "model.ckpt")
    index = tmp_path / "model.ckpt.index"
    entries = [(key, bytes(value)) for key, value in tensorflow_files._read_table(str(index))]
    write_table(index, entries, compress=lambda content: snappy.compress(content, asbytes=True))
    assert index.stat().st_size < 0.7 * len(block(entries))
    assert_same(read(tmp_path / "model.ckpt"), many)


def test_compressed_blocks_hold_literals_and_copies():
    # Literals of 3 bytes and of 70; copies of 5 bytes 3 before, 64 bytes 1 before, and 2 bytes 142 before.
    long = bytes(range(70))
    content = b"\x08abc" + b"\x05\x03" + b"\xf0\x45" + long + b"\xfe\x01\x00" + b"\x07\x8e\x00\x00\x00"
    expected = b"abcabcab" + long + b"\x45" * 64
    assert tensorflow_files._decompress(memoryview(varint(144) + content)) == expected + b"ab"
    for damaged in (varint(143) + content, varint(144) + content[:-5], varint(4) + b"\x00a\x01\x02"):
        with pytest.raises((ValueError, IndexError)):
            tensorflow_files._decompress(memoryview(damaged))


def test_a_checkpoint_that_asks_for_more_than_it_holds_is_refused_before_it_is_read(tmp_path):
    shape = field(2, field(1, 10**6)) * 2
    entry = field(1, 1) + field(2, shape)
    write_table(tmp_path / "v2.ckpt.index", [(b"", field(1, 1)), (b"bomb", entry)])
    (tmp_path / "v2.ckpt.data-00000-of-00001").write_bytes(bytes(100))
    described = field(1, field(1, field(1, b"bomb") + field(2, shape) + field(3, 1)))
    write_table(tmp_path / "v1.ckpt", [(b"", described)])
    for name in ("v1.ckpt", "v2.ckpt"):
        with pytest.raises(InputError, match=rf"{name}: it asks for 4000000000000 bytes of memory"):
            read(tmp_path / name)


def test_a_block_is_read_once(tmp_path):
    described = field(1, field(1, field(1, b"x") + field(3, 1)))
    value = field(2, field(1, b"x") + field(3, field(5, struct.pack("<f", 2.5))))
    write_table(tmp_path / "model.ckpt", [(b"", described), (b"x", value)])
    assert_same(read(tmp_path / "model.ckpt"), {"x": np.array(2.5, np.float32)})
    write_table(tmp_path / "model.ckpt", [(b"", described), (b"x", value)], references=2)
    with pytest.raises(InputError, match=r"model\.ckpt"):
        read(tmp_path / "model.ckpt")


@pytest.mark.parametrize(
    "entries",
    [
        b"\x80" * 10**6,  # An integer without end.
        varint(0) + varint(10**9) + varint(0),  # A key longer than the block.
        varint(5) + varint(1) + varint(0) + b"k",  # A key that goes on from none.
    ],
)
def test_hostile_blocks_are_one_sentence(tmp_path, monkeypatch, entries):
    monkeypatch.setitem(globals(), "block", lambda _: entries + struct.pack("<II", 0, 1))
    write_table(tmp_path / "model.ckpt", [])
    assert not is_read(tmp_path / "model.ckpt")
