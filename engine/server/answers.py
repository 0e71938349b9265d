"""How answers that are bytes, not JSON, are described in the schema."""

BYTES = "application/octet-stream"
BINARY: dict = {BYTES: {"schema": {"type": "string", "format": "binary"}}}
