"""TensorFlow's checkpoints and frozen graphs, read without TensorFlow.

All of them hold protobuf messages, of which this module reads the few fields that matter. A checkpoint keeps them in a
table as LevelDB does: sorted keys with their values, in blocks. Checksums are not checked: they are CRC-32C, which
takes pure Python 0.1 s per megabyte.

References:
    https://protobuf.dev/programming-guides/encoding
    https://github.com/google/leveldb/blob/main/doc/table_format.md
    https://github.com/google/snappy/blob/main/format_description.txt
    In TensorFlow: core/framework/graph.proto and tensor.proto, core/util/saved_tensor_slice.proto (V1 checkpoints),
    core/protobuf/tensor_bundle.proto (V2).
"""

import math
import os
import pathlib
import re
from collections.abc import Callable, Iterator, Mapping
from typing import BinaryIO

import numpy as np

from magstyle import files
from magstyle.errors import InputError

# TensorFlow's numbers of the types that weights have: float, double, half, uint8 and quint8.
_TYPES: dict[int, np.dtype] = {
    number: np.dtype(name) for number, name in {1: "<f4", 2: "<f8", 19: "<f2", 4: "u1", 12: "u1"}.items()
}
# The fields of a TensorProto for values.
_TENSOR_CONTENT, _FLOATS, _DOUBLES = 4, 5, 6
_FOOTER, _MAGIC = 48, 0xDB4775248B80FB57
_LONGEST_KEY = 4096

# The files of a V2 checkpoint, and the graph that TF1 writes beside one of either version.
_PART = re.compile(r"\.(index|meta|data-\d{5}-of-\d{5})$")
_ARCHIVE = re.compile(r"\.(zip|tar|tgz|tar\.\w+)$")

# The fields of a protobuf message by number.
Message = dict[int, int | memoryview]


def find_checkpoint(path: str) -> str:
    """Finds a TF1 checkpoint by any of its files.

    Args:
        path: a checkpoint; one of its files, `.index`, `.meta` or `.data-00000-of-00001`; TF1's list `checkpoint` of
            those in a folder, which names the newest; or anything else, which is returned as it is.

    Returns:
        A V1 checkpoint, or the common prefix of the files of a V2 checkpoint.

    Raises:
        InputError: for an archive, a list that cannot be read, and for files of a V2 checkpoint without its index.
    """
    if _ARCHIVE.search(path) and os.path.isfile(path):
        raise InputError(f"cannot read {path}: it is an archive; unpack it, and give the checkpoint in it")
    if os.path.basename(path) == "checkpoint" and os.path.isfile(path) and not _is_table(path):
        path = listed_checkpoint(path)
    prefix = _PART.sub("", path)
    # A V1 checkpoint may have such a name.
    if prefix != path and os.path.exists(path) and not (os.path.exists(f"{prefix}.index") or os.path.exists(prefix)):
        if _is_table(path):
            return path
        raise InputError(f"cannot read {prefix}: {prefix}.index is missing")
    return prefix


def listed_checkpoint(path: str) -> str:
    """The newest checkpoint in TF1's list `checkpoint`, which is protobuf's text format.

    The list names the folder that it was written to. The checkpoint is returned in the folder of the list, as both move
    together.
    """
    with files.reading(path, "list of checkpoints"), open(path, encoding="utf-8") as file:
        named = re.search(r'^\s*model_checkpoint_path:\s*"((?:[^"\\]|\\.)*)"', file.read(), re.MULTILINE)
        assert named  # Otherwise it is not such a list, as `files.reading` then says.
        # Everything but ASCII is escaped, byte by byte.
        name = named[1].encode().decode("unicode_escape").encode("latin-1").decode()
    return os.path.join(os.path.dirname(path), os.path.basename(name))


def read_checkpoint(path: str, wanted: Callable[[str], bool]) -> dict[str, np.ndarray]:
    """Reads variables of a TF1 checkpoint.

    Args:
        path: a V1 checkpoint, or the common prefix of the files of a V2 checkpoint.
        wanted: tells by its name whether a variable is to be read.

    Returns:
        The variables by name, without those that are neither floats nor bytes.

    Raises:
        InputError: for a file that is missing or damaged, or is not a checkpoint.
    """
    with files.reading(path, "TensorFlow checkpoint"):
        return (_read_v2 if os.path.exists(f"{path}.index") else _read_v1)(path, wanted)


def read_graph_constants(path: str, wanted: Callable[[str], bool]) -> dict[str, np.ndarray]:
    """Reads constants of a frozen graph (.pb); arguments, result and errors are those of `read_checkpoint`."""
    with files.reading(path, "frozen TensorFlow graph"):
        tensors = {}
        for content in _repeated(memoryview(pathlib.Path(path).read_bytes()), 1):
            # TensorFlow writes the name first, and few nodes are wanted.
            name = str(next(_repeated(content, 1), b""), "utf-8")
            if wanted(name) and _bytes(_parse(content), 2) == b"Const":
                attributes = [_parse(attribute) for attribute in _repeated(content, 5)]
                [value] = [_bytes(attribute, 2) for attribute in attributes if _bytes(attribute, 1) == b"value"]
                tensors[name] = _parse(_bytes(_parse(value), 8))
        described = _describe(tensors, type_field=1)
        files.check_expansion(path, _size(described))
        return {name: _array(tensors[name], *description) for name, description in described.items()}


def _read_v1(path: str, wanted: Callable[[str], bool]) -> dict[str, np.ndarray]:
    # The first key is empty, and its value describes all variables; each of the others has one variable.
    entries = _read_table(path)
    header = _parse(next(entries)[1])
    variables = {}
    for content in _repeated(_bytes(header, 1), 1):
        name = str(_bytes(_parse(content), 1), "utf-8")
        if wanted(name):
            _refuse_partitions(path, name, parts=sum(1 for _ in _repeated(content, 4)))
            variables[name] = _parse(content)
    described = _describe(variables, type_field=3)
    files.check_expansion(path, _size(described))
    arrays = {}
    for _, value in entries:
        variable = _parse(_bytes(_parse(value), 2))
        name = str(_bytes(variable, 1), "utf-8")
        if name in described:
            arrays[name] = _array(_parse(_bytes(variable, 3)), *described[name])
    return arrays


def _read_v2(prefix: str, wanted: Callable[[str], bool]) -> dict[str, np.ndarray]:
    # The first key is empty, and its value describes all files; each of the others says where a variable lies.
    entries = _read_table(f"{prefix}.index")
    header = _parse(next(entries)[1])
    if _number(header, 2):
        raise InputError(f"cannot read {prefix}: its numbers are big-endian")
    variables = {name: _parse(entry) for key, entry in entries if wanted(name := key.decode(errors="replace"))}
    for name, entry in variables.items():
        _refuse_partitions(prefix, name, parts=1 + (7 in entry))
    shards = {
        name: f"{prefix}.data-{_number(entry, 3):05d}-of-{_number(header, 1):05d}" for name, entry in variables.items()
    }
    for shard in set(shards.values()):
        files.check_regular(shard)
        if not os.path.exists(shard):
            raise InputError(f"cannot read {prefix}: {shard} is missing")
    described = _describe(variables, type_field=1)
    files.check_expansion(prefix, _size(described), stored=sum(map(os.path.getsize, set(shards.values()))))
    return {
        name: np.fromfile(shards[name], kind, math.prod(shape), offset=_number(variables[name], 4)).reshape(shape)
        for name, (kind, shape) in described.items()
    }


def _refuse_partitions(path: str, name: str, parts: int) -> None:
    if parts > 1:
        raise InputError(f"cannot read {path}: {name} is partitioned; only whole variables can be read")


def _describe(messages: Mapping[str, Message], type_field: int) -> dict[str, tuple[np.dtype, tuple[int, ...]]]:
    """The types and shapes of arrays, without arrays of types that weights do not have."""
    described = {}
    for name, message in messages.items():
        kind = _TYPES.get(_number(message, type_field))
        if kind:
            described[name] = kind, _shape(message)
    return described


def _size(described: Mapping[str, tuple[np.dtype, tuple[int, ...]]]) -> int:
    """The bytes of arrays of these types and shapes."""
    return sum(kind.itemsize * math.prod(shape) for kind, shape in described.values())


# === Tables ===


def _is_table(path: str) -> bool:
    with files.reading(path, "TensorFlow checkpoint"), open(path, "rb") as file:
        file.seek(max(0, os.path.getsize(path) - 8))
        return int.from_bytes(file.read(), "little") == _MAGIC


def _read_table(path: str) -> Iterator[tuple[bytes, memoryview]]:
    """The keys and values of a table, in order."""
    files.check_regular(path)
    with open(path, "rb") as file:
        stored = os.path.getsize(path)
        file.seek(max(0, stored - _FOOTER))
        footer = memoryview(file.read())
        if int.from_bytes(footer[-8:], "little") != _MAGIC:
            raise ValueError("This is not a table.")
        _, _, position = _place(footer)
        offset, size, _ = _place(footer[position:])
        end = 0
        for _, place in _entries(_read_block(file, offset, size, stored)):
            offset, size, _ = _place(place)
            if offset < end:
                raise ValueError("Blocks overlap.")  # A small file could otherwise hold any number of them.
            end = offset + size
            yield from _entries(_read_block(file, offset, size, stored))


def _place(content: memoryview) -> tuple[int, int, int]:
    """Offset and size of a block, and the bytes that these two take."""
    offset, position = _varint(content, 0)
    size, position = _varint(content, position)
    return offset, size, position


def _read_block(file: BinaryIO, offset: int, size: int, stored: int) -> memoryview:
    # After the block, there is a byte for its compression, and then its checksum.
    if offset + size >= stored:
        raise ValueError("A block ends beyond the file.")
    file.seek(offset)
    content = memoryview(file.read(size + 1))
    block, compression = content[:size], content[size]
    if compression > 1:
        raise ValueError("The compression is unknown.")
    # TensorFlow 1.1 compressed the indexes of V2 checkpoints.
    return memoryview(_decompress(block)) if compression else block


def _entries(block: memoryview) -> Iterator[tuple[bytes, memoryview]]:
    """The keys and values of a block; a key is stored as its difference from the one before."""
    restarts = int.from_bytes(block[-4:], "little")
    key, position, end = b"", 0, len(block) - 4 - 4 * restarts
    while position < end:
        shared, position = _varint(block, position)
        added, position = _varint(block, position)
        size, position = _varint(block, position)
        start, stop = position + added, position + added + size
        if shared > len(key) or shared + added > _LONGEST_KEY or stop > end:
            raise ValueError("The entry of a block is damaged.")
        key, position = key[:shared] + bytes(block[position:start]), stop
        yield key, block[start:stop]


def _decompress(block: memoryview) -> bytearray:
    """Snappy's decompression: literals, and copies of earlier output."""
    size, position = _varint(block, 0)
    found = bytearray()
    while position < len(block):
        tag, position = block[position], position + 1
        kind, length = tag & 3, (tag >> 2) + 1
        if kind == 0:
            wide = max(0, length - 60)
            if wide:
                length = int.from_bytes(block[position : position + wide], "little") + 1
            position += wide + length
            found += block[position - length : position]
            continue
        wide = (1, 2, 4)[kind - 1]
        distance, position = int.from_bytes(block[position : position + wide], "little"), position + wide
        if kind == 1:
            length, distance = (tag >> 2 & 7) + 4, distance | tag >> 5 << 8
        if not 0 < distance <= len(found):
            raise ValueError("A copy begins before the block.")
        copied = found[len(found) - distance :][:length]
        found += (copied * math.ceil(length / len(copied)))[:length]
    if len(found) != size:
        raise ValueError("The size of a block differs.")
    return found


# === Protobuf messages ===


def _array(tensor: Message, kind: np.dtype, shape: tuple[int, ...]) -> np.ndarray:
    """The array of a TensorProto, which may store the last of many equal values once."""
    content = _bytes(tensor, _TENSOR_CONTENT) or _bytes(tensor, _DOUBLES if kind == np.float64 else _FLOATS)
    values = np.frombuffer(content, kind)
    missing = math.prod(shape) - len(values)
    return (np.append(values, np.repeat(values[-1:], missing)) if missing else values).reshape(shape)


def _shape(message: Message) -> tuple[int, ...]:
    """The shape in a message, whose field has the number 2 in all messages that have one here."""
    return tuple(_number(_parse(dimension), 1) for dimension in _repeated(_bytes(message, 2), 2))


def _number(message: Message, field: int) -> int:
    value = message.get(field, 0)
    assert isinstance(value, int)
    return value


def _bytes(message: Message, field: int) -> memoryview:
    value = message.get(field, memoryview(b""))
    assert isinstance(value, memoryview)
    return value


def _repeated(content: memoryview, field: int) -> Iterator[memoryview]:
    """All values of a repeated field of a message."""
    for number, value in _fields(content):
        if number == field:
            assert isinstance(value, memoryview)
            yield value


def _parse(content: memoryview) -> Message:
    """A message whose fields are not repeated; of those that are, it has the last value."""
    return dict(_fields(content))


def _fields(content: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """The fields of a message by number: integers as such, everything else as bytes."""
    position = 0
    while position < len(content):
        key, position = _varint(content, position)
        value: int | memoryview
        if key & 7 == 0:
            value, position = _varint(content, position)
        else:
            size, position = _varint(content, position) if key & 7 == 2 else ({1: 8, 5: 4}[key & 7], position)
            value, position = content[position : position + size], position + size
        if position > len(content):
            raise ValueError("A message ends too early.")
        yield key >> 3, value


def _varint(content: memoryview, position: int) -> tuple[int, int]:
    """An integer of seven bits per byte, the least first, and the position after it."""
    number = content[position]
    if number < 128:
        return number, position + 1
    number &= 127
    for shift in range(7, 70, 7):
        position += 1
        number |= (content[position] & 127) << shift
        if content[position] < 128:
            return number, position + 1
    raise ValueError("An integer has more than 64 bits.")
