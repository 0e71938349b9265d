"""Read by pyright in place of transformers, whose own first lines name four hundred networks: a third of its time."""

from typing import Any

def __getattr__(name: str) -> Any: ...
