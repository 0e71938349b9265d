"""What a file of weights holds, read off its header alone: in milliseconds, before any work and however large it is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from safetensors import safe_open

from engine.errors import AssetError
from engine.models.importers import ESTIMATOR
from engine.models.learned.weights import provenance
from engine.tensor_files import UNREADABLE

OFFICIAL_LICENCE = "MIT; its DINOv3 part under Meta's DINOv3 licence"
FLAME_NEEDED = "FLAME 2023's file (flame2023.pkl)"
OTHERS = (
    ("transformer.blocks.0.attn.wq.weight", "MATCH's official weights", "They need Sapiens and Ava-256's head."),
    ("fuvt.aggregator.patch_embed.cls_token", "UIKA's UV estimator alone", "Give uika.safetensors, which has it too."),
    ("storage_tokens", "DINOv3's weights", "They are an encoder, of which networks are made."),
    ("embeddings.register_tokens", "DINOv3's weights", "They are an encoder, of which networks are made."),
)
"""By a tensor that they have: what nothing can be reconstructed with, and why not."""


@dataclass(frozen=True)
class Contents:
    """What a file of weights is.

    Attributes:
        file: its name. label: what it holds, for people. licence: its terms, one line.
        system: by name, the one that runs with it. official: whether its authors made it, not ``engine train``.
        estimator: whether UIKA's UV estimator is in it.
        missing: what is needed beside it; empty where nothing is.
    """

    file: str
    label: str
    licence: str
    system: str
    official: bool
    estimator: bool
    missing: str


def look_into(path: Path) -> Contents:
    """Read a file's header.

    Raises:
        AssetError: it is missing, damaged, no safetensors file, or of a kind that nothing can be reconstructed with.
    """
    if path.suffix.lower() != ".safetensors":
        raise AssetError(f"{path.name} is no file of weights.", "Choose a .safetensors file.")
    try:
        with safe_open(path, framework="pt") as file:
            names, trained = set(file.keys()), "provenance" in (file.metadata() or {})
    except FileNotFoundError as error:
        raise AssetError(f"The weights {path} are missing.", "docs/systems.md says how to obtain them.") from error
    except UNREADABLE as error:
        raise AssetError(f"{path.name} cannot be read as weights.", "Download or train it again.") from error
    if trained:
        name = provenance(path)["system"]
        return Contents(path.name, f"{name}, trained on the default head", "your own", name, False, False, "")
    if "transformer.uv_token" in names:
        estimator = any(name.startswith(ESTIMATOR) for name in names)
        return Contents(
            path.name, "UIKA's official weights", OFFICIAL_LICENCE, "uika", True, estimator, FLAME_NEEDED
        )  # fmt: skip
    for mark, label, why in OTHERS:
        if mark in names:
            raise AssetError(f"{path.name} holds {label}, with which nothing can be reconstructed.", why)
    raise AssetError(
        f"{path.name} holds no weights that this engine knows.", "docs/systems.md says which files it can use."
    )
