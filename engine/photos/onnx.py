"""Opens ONNX models with the one runtime that the photo stage uses."""

from __future__ import annotations

from pathlib import Path

import onnxruntime

from engine.protobuf import message

THREADS = 2  # these networks stop gaining beyond it
ERRORS_ONLY = 3  # onnxruntime's severity; below it, every unused initialiser is worth a line to it


def open_model(path: Path) -> onnxruntime.InferenceSession:
    """A CPU session for the model in ``path``."""
    return open_bytes(path.read_bytes())


def open_bytes(model: bytes) -> onnxruntime.InferenceSession:
    """A CPU session for a serialised ONNX model."""
    onnxruntime.set_default_logger_severity(ERRORS_ONLY)
    onnxruntime.disable_telemetry_events()  # on Windows the system would pass them on; bootstrap.py silences the rest
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = THREADS
    # Threads that wait in a busy loop starve the others when the machine also renders.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def keep_first_input(model: bytes) -> bytes:
    """Drop every graph input but the first from a serialised ONNX model.

    SFace's quantised file lists its weights as inputs besides the image, as ONNX once required; runtimes then ask for
    them. Field numbers are those of onnx.proto (ModelProto.graph = 7, GraphProto.input = 11).
    """
    parse = message("onnx_inputs", Value={}, Graph={"input": (11, "Value*")}, Model={"graph": (7, "Graph")})
    parsed = parse(model)
    del parsed.graph.input[1:]
    return parsed.SerializeToString()
