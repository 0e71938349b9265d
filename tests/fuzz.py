"""Damaged and hostile files by the thousand: ``python -m tests.fuzz NAME --cases N [--seed S]``.

Every reader may refuse a file with its own error and nothing else; ``avatar`` also compares what the engine and the
add-on say of one and the same file. A case that fails is kept beside the report and named by its number, from which it
can be made again.
"""

from __future__ import annotations

import argparse
import gzip
import importlib
import io
import json
import random
import sys
import tempfile
import types
import warnings
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tests.fuzz_incoming import (
    flame_param_reader,
    flame_params,
    glb_reader,
    glbs,
    lam_reader,
    lams,
    splat_reader,
    splats,
)
from tests.fuzz_live import PACKETS, packet_reader, packets

ROOT = Path(__file__).parents[1]
KEPT = ROOT / "tests" / "kept" / "version_1.npz"
ODD_NUMBERS = (0, 1, -1, 2, 0.5, 10, 1e-3, 1 + 1e-3, 1.0011, -0.001, 100, 1e4, 2**31 - 1, -(2**31), 1e30, 1e-30, 1e-40,
               float("nan"), float("inf"), float("-inf"))  # fmt: skip
PACKED = (*[zipfile.ZIP_STORED] * 20, *[zipfile.ZIP_DEFLATED] * 20, zipfile.ZIP_LZMA)
ODD_VALUES = (None, 0, -1, 1.5, "", "a", "a/b", " a", "a" * 64, "é" * 32, "\u200c", [], {}, ["a", "a"], [1], {"a": 1},
              True, "2026-01-01", "\n", "..", "\ud800")  # fmt: skip


@dataclass(frozen=True)
class Reader:
    """Something that reads files.

    Attributes:
        seeds: sound files, as bytes, by the suffix that the reader goes by.
        mutate: changes one of them.
        read: reads a path; says how it went, "" for well, or what refused it.
    """

    seeds: Callable[[], list[tuple[str, bytes]]]
    mutate: Callable[[random.Random, bytes], bytes]
    read: Callable[[Path], str]


def run(name: str, cases: int, seed: int = 0) -> Iterator[tuple[int, bytes, str, str]]:
    """Number, content, suffix and fault of the cases that went wrong."""
    reader = READERS[name]
    seeds = reader.seeds()
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # zipfile's and numpy's, at what is done to the files here
        for number in range(cases):
            chance = random.Random(f"{name} {seed} {number}")
            suffix, content = chance.choice(seeds)
            content = reader.mutate(chance, content)
            path = Path(folder, f"case{suffix}")
            path.write_bytes(content)
            if fault := reader.read(path):
                yield number, content, suffix, fault


# --- changes ---------------------------------------------------------------------------------------------------------


def change_bytes(chance: random.Random, content: bytes) -> bytes:
    """Flip, cut, repeat, remove or put in bytes; early ones more often, since headers are there."""
    data = bytearray(content)
    for _ in range(chance.choice((1, 1, 2, 4, 16))):
        end = len(data) if chance.random() < 0.5 else min(len(data), 600)
        place = chance.randrange(max(end, 1))
        length = chance.choice((1, 1, 2, 4, 8, 100))
        match chance.randrange(6):
            case 0:
                data[place : place + 1] = chance.randbytes(1)
            case 1:
                data[place : place + length] = chance.choice((b"\xff", b"\x00", b"\x7f")) * length
            case 2:
                del data[place : place + length]
            case 3:
                data[place:place] = chance.randbytes(length)
            case 4:
                data[place:place] = data[chance.randrange(max(len(data), 1)) :][: 4 * length]
            case 5:
                del data[len(data) - chance.randrange(1 + len(data) // 2) :]
    return bytes(data)


def change_avatar(chance: random.Random, content: bytes) -> bytes:
    """Change bytes of an avatar file, or, as often, what stands in it."""
    if chance.random() < 0.15:
        return change_bytes(chance, content)
    with np.load(io.BytesIO(content)) as data:
        arrays = dict(data)
    for _ in range(chance.choice((1, 1, 1, 2))):
        name = chance.choice(sorted(arrays))
        match chance.randrange(20):
            case 16 | 17:
                arrays["metadata"] = _change_metadata(chance, arrays["metadata"])
            case 15:
                arrays[name] = arrays[name][: chance.randrange(3)] if arrays[name].ndim else arrays[name]
            case 18:
                kind = chance.choice(("<f4", "<f8", "<i4", ">f4", "|u1", "<f2"))
                with np.errstate(all="ignore"):
                    arrays[name] = arrays[name].astype(kind)
            case 14:
                del arrays[chance.choice(("eigenbasis", "eigenbasis_gains", name))]
                break
            case 19:
                arrays[chance.choice(("more", "version", "../a"))] = np.zeros(chance.randrange(3), np.int32)
            case _ if name not in ("metadata", "version"):
                _put(chance, arrays[name])
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", chance.choice(PACKED)) as new:
        for name, array in arrays.items():
            member = io.BytesIO()
            np.lib.format.write_array(member, np.asarray(array), version=(2, 0) if chance.random() < 0.001 else (1, 0))
            for _ in range(2 if chance.random() < 0.003 else 1):
                new.writestr(f"{name}.npy", member.getvalue())
    return packed.getvalue()


def _put(chance: random.Random, array: np.ndarray) -> None:
    """An odd number somewhere, or a neighbour of the numbers at the ends of what is allowed."""
    if not array.size:
        return
    value = chance.choice(ODD_NUMBERS)
    with np.errstate(all="ignore"):
        if array.dtype.kind == "f":
            value = np.nextafter(array.dtype.type(value), array.dtype.type(chance.choice((-np.inf, np.inf, value))))
        else:
            value = np.clip(np.nan_to_num(value), np.iinfo(array.dtype).min, np.iinfo(array.dtype).max)
        array.reshape(-1)[chance.randrange(array.size)] = value


def _change_metadata(chance: random.Random, array: np.ndarray) -> np.ndarray:
    try:
        metadata = json.loads(array.tobytes())
    except (ValueError, RecursionError):  # another change was there first
        return array
    if "provenance" not in metadata:
        return array
    table = chance.choice((metadata, metadata, metadata["provenance"]))
    if not isinstance(table, dict) or not table:
        return array
    key = chance.choice(sorted(table))
    if isinstance(table[key], list) and table[key] and chance.random() < 0.6:
        table[key][chance.randrange(len(table[key]))] = chance.choice(ODD_VALUES)
    elif chance.random() < 0.2:
        del table[key]
    else:
        table[chance.choice((key, "more"))] = chance.choice(ODD_VALUES)
    text = json.dumps(metadata, ensure_ascii=chance.random() < 0.5)
    if chance.random() < 0.1:
        text = text.replace("27.5", chance.choice(("NaN", "1e999", "[" * 3000 + "]" * 3000, "9" * 5000)))
    return np.frombuffer(text.encode("utf-8", "surrogatepass"), np.uint8)


def change_members(chance: random.Random, content: bytes) -> bytes:
    """Change bytes of a zip, or, more often, of the files in it, so that the changes get behind its checksums."""
    if chance.random() < 0.15:
        return change_bytes(chance, content)
    packed = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(packed, "w") as new:
        changed = chance.choice([entry for entry in old.infolist() if entry.file_size])
        for entry in old.infolist():
            inside = old.read(entry)
            new.writestr(entry.filename, change_bytes(chance, inside) if entry is changed else inside)
    return packed.getvalue()


# --- readers ---------------------------------------------------------------------------------------------------------


def _refusal(read: Callable[[], object], kind: type[Exception]) -> tuple[bool, str]:
    """Whether a file was read, and what went wrong beyond a refusal of the reader's own kind."""
    try:
        read()
    except kind:
        return False, ""
    except Exception as error:
        return False, f"{type(error).__name__}: {error}"
    return True, ""


def addon_reader() -> tuple[Callable[[Path], object], type[Exception]]:
    """The add-on's reader without the rest of the add-on, which needs Blender."""
    package = sys.modules.setdefault("addon_alone", types.ModuleType("addon_alone"))
    package.__path__ = [str(ROOT / "blender_addon")]
    return (
        importlib.import_module("addon_alone.rig.avatar_file").read_avatar,
        importlib.import_module("addon_alone.errors").AddonError,
    )


def _read_avatar(path: Path) -> str:
    from engine.avatar import load
    from engine.errors import AvatarError

    addon, addon_error = addon_reader()
    engines, fault = _refusal(lambda: load(path), AvatarError)
    addons, other = _refusal(lambda: addon(path), addon_error)
    if fault or other:
        return f"engine: {fault or 'fine'}, add-on: {other or 'fine'}"
    if engines != addons:
        who = "the engine" if engines else "the add-on"
        return f"only {who} reads it"
    return ""


def _own(reads: Callable[[], Callable[[Path], object]]) -> Callable[[Path], str]:
    """A reader of the engine's that may raise an EngineError and nothing else."""

    def read(path: Path) -> str:
        from engine.errors import EngineError

        return _refusal(lambda: reads()(path), EngineError)[1]

    return read


def _flame_reader() -> Callable[[Path], object]:
    from engine.heads.flame_file import read_flame

    return read_flame


def _flames() -> list[tuple[str, bytes]]:
    import trimesh

    from tests.engine.heads.flame_fixture import flame_arrays, write_pickle

    ball = trimesh.creation.icosphere(subdivisions=3, radius=0.15)
    arrays = flame_arrays(ball.vertices, ball.faces)
    arrays |= {key: arrays[key][..., :20] for key in ("shapedirs",)}
    with tempfile.TemporaryDirectory() as folder:
        np.savez(Path(folder, "a.npz"), **arrays)
        write_pickle(Path(folder, "a.pkl"), arrays)
        return [(path.suffix, path.read_bytes()) for path in sorted(Path(folder).iterdir())]


def _photo_reader() -> Callable[[Path], object]:
    from engine.photos.decode import decode

    return decode


def _photos() -> list[tuple[str, bytes]]:
    from PIL import Image

    import engine.photos.decode  # noqa: F401 - registers HEIC

    y, x = np.mgrid[0:60, 0:80]
    image = Image.fromarray(np.stack([3 * x, 4 * y, x + y], -1).astype(np.uint8))
    kinds = {
        "jpg": "JPEG",
        "png": "PNG",
        "tif": "TIFF",
        "webp": "WEBP",
        "gif": "GIF",
        "bmp": "BMP",
        "avif": "AVIF",
        "heic": "HEIF",
    }
    found = []
    for suffix, kind in kinds.items():
        for mode in ("RGB", "L") if suffix in ("jpg", "png", "tif") else ("RGB",):
            buffer = io.BytesIO()
            image.convert(mode).save(buffer, kind)
            found.append((f".{suffix}", buffer.getvalue()))
    return found


def _weights_reader() -> Callable[[Path], object]:
    from engine.models.importers import read_tensors

    return lambda path: dict(read_tensors(path))


def _weights() -> list[tuple[str, bytes]]:
    import torch
    from safetensors.torch import save

    tensors = {"a.weight": torch.randn(3, 4), "a.bias": torch.zeros(3), "b": torch.arange(5)}
    buffer = io.BytesIO()
    torch.save(tensors, buffer)
    return [(".pth", buffer.getvalue()), (".safetensors", save(tensors))]


def _memory_reader() -> Callable[[Path], object]:
    from engine.models.kit.memory import TokenMemory

    return TokenMemory.load


def _memories() -> list[tuple[str, bytes]]:
    import torch

    from engine.models.kit.memory import TokenMemory

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a.memory")
        TokenMemory(torch.randn(1, 2, 6, 4), 2, "weights").save(path)
        return [(".memory", path.read_bytes())]


def change_memory(chance: random.Random, content: bytes) -> bytes:
    """Bytes, or a number of the description for another of the same length."""
    if chance.random() < 0.5:
        return change_bytes(chance, content)
    odd = chance.choice((b"1e400", b"-1e99", b"[[[[[", b"null ", b"0    ", b"true ", b"99999", b'"a"  '))
    place = content.find(b'\\"rows\\": 2')
    return content[: place + 10] + odd + content[place + 10 + len(odd) :] if place > 0 else content


def change_packed(chance: random.Random, content: bytes) -> bytes:
    """Bytes of what is in a gzip file, or of the file."""
    if chance.random() < 0.3:
        return change_bytes(chance, content)
    return gzip.compress(change_bytes(chance, gzip.decompress(content)), 1)


READERS = {
    "avatar": Reader(lambda: [(".npz", KEPT.read_bytes())], change_avatar, _read_avatar),
    "flame": Reader(_flames, change_bytes, _own(_flame_reader)),
    "photo": Reader(_photos, change_bytes, _own(_photo_reader)),
    "weights": Reader(_weights, change_bytes, _own(_weights_reader)),
    "ply": Reader(splats("ply"), change_bytes, _own(splat_reader("ply"))),
    "splat": Reader(splats("splat"), change_bytes, _own(splat_reader("splat"))),
    "spz": Reader(splats("spz"), change_packed, _own(splat_reader("spz"))),
    "glb": Reader(glbs, change_bytes, _own(glb_reader)),
    "memory": Reader(_memories, change_memory, _own(_memory_reader)),
    "lam": Reader(lams, change_members, _own(lam_reader)),
    "flame_param": Reader(flame_params, change_members, _own(flame_param_reader)),
    **{name: Reader(packets(name), change_bytes, _own(packet_reader(name))) for name in PACKETS},
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=sorted(READERS))
    parser.add_argument("--cases", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, default=ROOT / "build" / "fuzz", help="folder for what failed")
    options = parser.parse_args()
    faults = 0
    for number, content, suffix, fault in run(options.name, options.cases, options.seed):
        faults += 1
        options.keep.mkdir(parents=True, exist_ok=True)
        (options.keep / f"{options.name}_{options.seed}_{number}{suffix}").write_bytes(content)
        print(f"case {number}: {fault[:300]}")
    print(f"{options.cases} files, {faults} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
