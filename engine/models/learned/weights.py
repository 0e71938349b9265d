"""The trained weights that come with the engine, and weights that a user trained: found, checked, loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import nn

from engine.errors import AssetError
from engine.tensor_files import UNREADABLE, read_about

FOLDER = Path(__file__).resolve().parents[2] / "weights"
LARGEST = 2 << 30  # bytes; no preset is larger


def shipped(name: str) -> Path:
    """Where the weights of a system lie, be they there or not."""
    return FOLDER / f"{name}.safetensors"


def provenance(path: Path) -> dict[str, Any]:
    """How the weights came about: system, preset, variant, steps and more; see ``engine train``.

    Raises:
        AssetError: the file is missing, too large, damaged or something else.
    """
    try:
        if path.stat().st_size > LARGEST:
            raise _unusable(path, "is too large for any preset")
        with safe_open(path, framework="pt") as file:
            about = read_about(file, "provenance", path.name, AssetError)
    except FileNotFoundError as error:
        raise _unusable(path, "is not there") from error
    except UNREADABLE as error:
        raise _unusable(path, "holds no trained weights, or is damaged") from error
    variant = about.get("variant")
    words = [about.get("system"), about.get("preset"), *variant.values()] if isinstance(variant, dict) else [None]
    if not all(isinstance(word, str) for word in words):
        raise _unusable(path, "does not say what it was trained as")
    return about


def load(network: nn.Module, path: Path) -> None:
    """Fill a network with the weights of a file, tensor by tensor, in the network's own precision.

    Raises:
        AssetError: a tensor is missing, left over or of another shape; the network may be half filled then.
    """
    wanted = network.state_dict()
    try:
        with safe_open(path, framework="pt") as file:
            found = set(file.keys())
            for kind, names in (("misses", wanted.keys() - found), ("has too many", found - wanted.keys())):
                if names:
                    raise _unusable(path, f"{kind} tensors: {', '.join(sorted(names)[:5])}")
            for name, parameter in wanted.items():
                value = file.get_tensor(name)
                if value.shape != parameter.shape or not torch.isfinite(value).all():
                    raise _unusable(path, f"has a {name} of the wrong shape or without finite values")
                parameter.copy_(value)
    except UNREADABLE as error:
        raise _unusable(path, "is damaged") from error


def _unusable(path: Path, why: str) -> AssetError:
    return AssetError(
        f"The file of weights {path.name} {why}.", "Install the extension again, train them, or choose another system."
    )
