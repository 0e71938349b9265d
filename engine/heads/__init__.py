"""Head models: ``load_head`` is the one door to all of them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np

from engine import assets
from engine.atomic import atomic_write
from engine.heads.parametric import ParametricHead

DEFAULT = "makehuman"


def load_head(source: str | Path = DEFAULT) -> ParametricHead:
    """Load a head model: ``makehuman``, or the path of a FLAME file that the user obtained.

    Building a head takes half a minute (identity basis, UV atlas, landmark correspondence); the result is cached under
    a key of its inputs and of the code that builds it: in the folder ``GAUSSIAN_HEADS_CACHE`` where that is set,
    otherwise beside the assets. What already lies beside the assets is used from there; that folder may be read-only.

    Raises:
        AssetError: the default head's data have not been fetched.
        HeadModelError: the file is missing, damaged, hostile or not a FLAME model.
    """
    code = b"".join(path.read_bytes() for path in sorted(Path(__file__).parent.glob("*.py")))
    if str(source) == DEFAULT:
        from engine.heads.makehuman import build

        return _cached(DEFAULT, code, build)
    from engine.heads.flame import load_flame, read_bytes

    path = Path(source)
    return _cached("flame", code + read_bytes(path), lambda: load_flame(path, load_head()))


def _cached(kind: str, key: bytes, build: Callable[[], ParametricHead]) -> ParametricHead:
    name = f"{kind}-{hashlib.sha256(key).hexdigest()[:16]}.npz"
    beside = assets.root() / "cache"
    if (beside / name).exists():
        return _load(beside / name)
    path = Path(os.environ.get("GAUSSIAN_HEADS_CACHE") or beside) / name
    if not path.exists():
        head = build()
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as temporary:
            _save(head, temporary)
    return _load(path)


def _save(head: ParametricHead, path: Path) -> None:
    arrays = {k: v for k, v in vars(head).items() if isinstance(v, np.ndarray)}
    arrays |= {f"region:{k}": v for k, v in head.regions.items()}
    arrays |= {k: np.array(getattr(head, k)) for k in ("name", "licence", "expression_names", "joint_names")}
    with path.open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays)


def _load(path: Path) -> ParametricHead:
    with np.load(path, allow_pickle=False) as data:
        arrays = {k: data[k] for k in data.files}
    regions = {k.removeprefix("region:"): arrays.pop(k) for k in list(arrays) if k.startswith("region:")}
    text = {k: str(arrays.pop(k)) for k in ("name", "licence")}
    names = {k: tuple(str(x) for x in arrays.pop(k)) for k in ("expression_names", "joint_names")}
    return ParametricHead(**text, **names, **arrays, regions=regions)
