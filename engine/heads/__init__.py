"""Head models: ``load_head`` is the one door to all of them."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np

from engine import assets
from engine.atomic import atomic_write
from engine.caches import is_writable, own_folder
from engine.heads.models import model_of
from engine.heads.parametric import ParametricHead

LOG = logging.getLogger(__name__)
DEFAULT = "makehuman"


def load_head(source: str | Path = DEFAULT) -> ParametricHead:
    """Load a head model: the name of one that comes with the engine (``makehuman``), or the path of a model's file.

    Building a head takes half a minute (identity basis, UV atlas, landmark correspondence); the result is cached under
    a key of its inputs and of the model's version: in the folder ``GAUSSIAN_HEADS_CACHE`` where that is set,
    otherwise beside the assets, or in a folder of the user's own where that cannot be written. What already lies beside
    the assets is used from there.

    Raises:
        AssetError: the default head's data have not been fetched.
        HeadModelError: the file is missing, damaged, hostile or of no known head model.
    """
    spec, file = model_of(source)
    key = f"{spec.name} {spec.version} ".encode() + spec.depends_on(file)
    return _cached(spec.name, key, lambda: spec.build(file, load_head))


def _cached(kind: str, key: bytes, build: Callable[[], ParametricHead]) -> ParametricHead:
    name = f"{kind}-{hashlib.sha256(key).hexdigest()[:16]}.npz"
    beside = assets.root() / "cache"
    folders = [beside, Path(os.environ.get("GAUSSIAN_HEADS_CACHE") or beside)]
    for folder in folders:
        if (head := _load(folder / name)) is not None:
            return head
    if not is_writable(folders[-1]):
        folders.append(own_folder())
        if (head := _load(folders[-1] / name)) is not None:
            return head
    head = build()
    with atomic_write(folders[-1] / name) as temporary:
        _save(head, temporary)
    return head


def _save(head: ParametricHead, path: Path) -> None:
    arrays = {k: v for k, v in vars(head).items() if isinstance(v, np.ndarray)}
    arrays |= {f"region:{k}": v for k, v in head.regions.items()}
    arrays |= {k: np.array(getattr(head, k)) for k in ("name", "licence", "expression_names", "joint_names")}
    with path.open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays)


def _load(path: Path) -> ParametricHead | None:
    """A kept head; None where there is none, or one that was damaged since, which its checksums tell."""
    try:
        with np.load(path, allow_pickle=False) as data:
            arrays = {k: data[k] for k in data.files}
    except FileNotFoundError:
        return None
    except Exception as error:  # numpy, zipfile and zlib raise a dozen kinds on damaged bytes
        LOG.warning("The kept head %s is damaged (%s); it is built again.", path, error)
        return None
    regions = {k.removeprefix("region:"): arrays.pop(k) for k in list(arrays) if k.startswith("region:")}
    text = {k: str(arrays.pop(k)) for k in ("name", "licence")}
    names = {k: tuple(str(x) for x in arrays.pop(k)) for k in ("expression_names", "joint_names")}
    return ParametricHead(**text, **names, **arrays, regions=regions)
