"""Names inside a LiteRT file: those of its tensors, and those of the styles, as LiteRT metadata.

The names of the styles are the lines of a text file, style_names.txt, in a zip archive at the end of the LiteRT file,
as label files of LiteRT models are. Everything that opens zip archives reads it; so do the metadata libraries of
Android and of LiteRT's task library, which find it as the labels of `style_weights`. Its table has a public schema of
which no maintained package writes the few fields needed here, so they are written by hand.
"""

import io
import zipfile
from collections.abc import Sequence

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

STYLE_NAMES = "style_names.txt"
# https://github.com/tensorflow/tflite-support, metadata_schema.fbs.
_IDENTIFIER = b"M001"
_TENSOR_AXIS_LABELS = 2


def pack(model: schema.ModelT, style_names: Sequence[str]) -> bytes:
    """The content of a file.

    Args:
        model: of one graph with one signature, whose names its inputs and outputs get.
        style_names: of the styles.
    """
    (signature,), (graph,) = model.signatureDefs, model.subgraphs
    for named in (*signature.inputs, *signature.outputs):
        graph.tensors[named.tensorIndex].name = named.name
    names = {named.tensorIndex: named.name.decode() for named in signature.inputs}
    # For programs that count the inputs: as Magenta has them, the image first.
    graph.inputs = np.array(sorted(graph.inputs, key=names.get), np.int32)
    buffer, metadata = schema.BufferT(), schema.MetadataT()
    buffer.data = np.frombuffer(_metadata([names[index] for index in graph.inputs]), np.uint8)
    metadata.name, metadata.buffer = b"TFLITE_METADATA", len(model.buffers)
    model.buffers.append(buffer)
    model.metadata = [*(model.metadata or []), metadata]
    content = io.BytesIO(serialize(model))
    with zipfile.ZipFile(content, "a") as archive:
        # Without a date, so that the same model gives the same file.
        archive.writestr(zipfile.ZipInfo(STYLE_NAMES), "".join(f"{name}\n" for name in style_names))
    return content.getvalue()


def serialize(model: schema.ModelT) -> bytes:
    """The content of a LiteRT file, its constants where float32 numbers may lie."""
    builder = _Builder(2**20)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def style_names(content: bytes) -> list[str]:
    """The names of the styles in the content of a LiteRT file."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return archive.read(STYLE_NAMES).decode().splitlines()


class _Builder(flatbuffers.Builder):
    """Puts long vectors of bytes, which hold the constants, where float32 numbers may lie: LiteRT maps them there."""

    def StartVector(self, element_size, count, alignment):  # noqa: N802
        return super().StartVector(element_size, count, 16 if element_size == 1 and count >= 16 else alignment)


def _metadata(inputs: Sequence[str]) -> bytes:
    """The table ModelMetadata; the labels of its input `style_weights` are in the file STYLE_NAMES."""
    builder = flatbuffers.Builder()

    def table(fields: dict[int, int]) -> int:
        builder.StartObject(max(fields) + 1)
        for slot, offset in fields.items():
            builder.PrependUOffsetTRelativeSlot(slot, offset, 0)
        return builder.EndObject()

    def vector(offset: int) -> int:
        builder.StartVector(4, len(offset), 4)
        for entry in reversed(offset):
            builder.PrependUOffsetTRelative(entry)
        return builder.EndVector()

    name = builder.CreateString(STYLE_NAMES)
    builder.StartObject(5)  # AssociatedFile: name, description, type, locale, version.
    builder.PrependUOffsetTRelativeSlot(0, name, 0)
    builder.PrependInt8Slot(2, _TENSOR_AXIS_LABELS, 0)
    labels = vector([builder.EndObject()])
    # TensorMetadata: name, description, dimension_names, content, process_units, stats, associated_files.
    tensors = [{0: builder.CreateString(name), **({6: labels} if name == "style_weights" else {})} for name in inputs]
    # SubGraphMetadata: name, description, input_tensor_metadata.
    graph = table({2: vector([table(tensor) for tensor in tensors])})
    # ModelMetadata: name, description, version, subgraph_metadata, ..., associated_files.
    fields = {0: builder.CreateString("magstyle"), 3: vector([graph])}
    builder.Finish(table(fields), _IDENTIFIER)
    return bytes(builder.Output())
