"""Reads protocol buffers without generated code: a schema names only the fields that are touched."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

FIELD = descriptor_pb2.FieldDescriptorProto
SCALARS = {"float": FIELD.TYPE_FLOAT, "uint32": FIELD.TYPE_UINT32}


def message(package: str, /, **schema: dict[str, tuple[int, str]]) -> Callable[[bytes], Any]:
    """A parser of one kind of message. All other fields pass through it unread, into ``SerializeToString`` too.

    Args:
        package: a name of the schema's own.
        schema: message -> field -> its number and type: ``float``, ``uint32`` or another message's name, with ``*``
            where it is repeated. The last message is the one that is parsed.

    Example:
        >>> message("greeting", Word={"length": (1, "uint32")})(bytes([8, 5])).length
        5
    """
    file = descriptor_pb2.FileDescriptorProto(name=f"{package}.proto", package=package, syntax="proto2")
    for name, fields in schema.items():
        entry = file.message_type.add(name=name)
        for field, (number, kind) in fields.items():
            label = FIELD.LABEL_REPEATED if kind.endswith("*") else FIELD.LABEL_OPTIONAL
            kind = kind.removesuffix("*")
            if kind in SCALARS:
                entry.field.add(name=field, number=number, label=label, type=SCALARS[kind])
            else:
                names = {"type": FIELD.TYPE_MESSAGE, "type_name": f".{package}.{kind}"}
                entry.field.add(name=field, number=number, label=label, **names)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{package}.{name}")).FromString
