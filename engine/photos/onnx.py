"""Opens ONNX models with the one runtime that the photo stage uses."""

from __future__ import annotations

from pathlib import Path

import onnxruntime
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

THREADS = 2  # these networks stop gaining beyond it
ERRORS_ONLY = 3  # onnxruntime's severity; below it, every unused initialiser is worth a line to it


def open_model(path: Path) -> onnxruntime.InferenceSession:
    """A CPU session for the model in ``path``."""
    return open_bytes(path.read_bytes())


def open_bytes(model: bytes) -> onnxruntime.InferenceSession:
    """A CPU session for a serialised ONNX model."""
    onnxruntime.set_default_logger_severity(ERRORS_ONLY)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = THREADS
    # Threads that wait in a busy loop starve the others when the machine also renders.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def keep_first_input(model: bytes) -> bytes:
    """Drop every graph input but the first from a serialised ONNX model.

    SFace's quantised file lists its weights as inputs besides the image, as ONNX once required; runtimes then ask for
    them. The schema below names only what is touched: Protobuf carries all other fields through unread, so the ``onnx``
    package is not needed. Field numbers are those of onnx.proto (ModelProto.graph = 7, GraphProto.input = 11).
    """
    field = descriptor_pb2.FieldDescriptorProto
    schema = descriptor_pb2.FileDescriptorProto(name="onnx_inputs.proto", package="onnx_inputs", syntax="proto2")
    schema.message_type.add(name="Value")
    graph = schema.message_type.add(name="Graph")
    graph.field.add(
        name="input", number=11, label=field.LABEL_REPEATED, type=field.TYPE_MESSAGE, type_name=".onnx_inputs.Value"
    )
    parent = schema.message_type.add(name="Model")
    parent.field.add(
        name="graph", number=7, label=field.LABEL_OPTIONAL, type=field.TYPE_MESSAGE, type_name=".onnx_inputs.Graph"
    )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(schema)
    parsed = message_factory.GetMessageClass(pool.FindMessageTypeByName("onnx_inputs.Model")).FromString(model)
    del getattr(parsed, "graph").input[1:]  # noqa: B009, the attribute exists only at run time
    return parsed.SerializeToString()
