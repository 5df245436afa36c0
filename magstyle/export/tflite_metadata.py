"""Names of styles inside a LiteRT file, as LiteRT metadata.

The names of the styles are the lines of a text file, style_names.txt, in a zip archive at the end of the LiteRT file,
like other label files of LiteRT models. Any program that opens zip archives reads it; so do the metadata libraries of
Android and of LiteRT's task library, which find it as the labels of `style_weights`. The metadata table has a public
schema, but no maintained package writes the few fields needed here, so they are written by hand.
"""

import io
import zipfile
from collections.abc import Sequence

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from magstyle.litert.graph import serialize

STYLE_NAMES = "style_names.txt"
# https://github.com/tensorflow/tflite-support, metadata_schema.fbs.
_IDENTIFIER = b"M001"
_TENSOR_AXIS_LABELS = 2


def pack(model: schema.ModelT, style_names: Sequence[str]) -> bytes:
    """The content of a LiteRT file.

    Args:
        model: a model with one graph.
        style_names: the names of its styles.
    """
    graph = model.subgraphs[0]
    buffer, metadata = schema.BufferT(), schema.MetadataT()
    buffer.data = np.frombuffer(_metadata([graph.tensors[index].name.decode() for index in graph.inputs]), np.uint8)
    metadata.name, metadata.buffer = b"TFLITE_METADATA", len(model.buffers)
    model.buffers.append(buffer)
    model.metadata.append(metadata)
    content = io.BytesIO(serialize(model))
    with zipfile.ZipFile(content, "a") as archive:
        # It has no date, so that the same model gives the same file.
        archive.writestr(zipfile.ZipInfo(STYLE_NAMES), "".join(f"{name}\n" for name in style_names))
    return content.getvalue()


def style_names(content: bytes) -> list[str]:
    """The names of the styles, from the content of a LiteRT file."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return archive.read(STYLE_NAMES).decode().splitlines()


def _metadata(inputs: Sequence[str]) -> bytes:
    """The table ModelMetadata; the labels of the input `style_weights` are in the file STYLE_NAMES."""
    builder = flatbuffers.Builder()

    def table(fields: dict[int, int]) -> int:
        builder.StartObject(max(fields) + 1)
        for slot, offset in fields.items():
            builder.PrependUOffsetTRelativeSlot(slot, offset, 0)
        return builder.EndObject()

    def vector(offsets: Sequence[int]) -> int:
        builder.StartVector(4, len(offsets), 4)
        for offset in reversed(offsets):
            builder.PrependUOffsetTRelative(offset)
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
