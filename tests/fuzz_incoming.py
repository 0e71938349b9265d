"""What strangers bring in: small sound files of heads and splats for the fuzz, and what reads them."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np


def splat_reader(name: str) -> Callable[[], Callable[[Path], object]]:
    """A reader that also minds its promises: as many of everything, finite, turned by quaternions of length 1."""

    def reads() -> Callable[[Path], object]:
        from engine.formats.splats import splat_formats

        def read(path: Path) -> None:
            splats = splat_formats()[name].read(path).splats
            for value in vars(splats).values():
                assert len(value) == len(splats.means) > 0 and bool(value.isfinite().all())
            assert bool(((splats.quats.norm(dim=1) - 1).abs() < 1e-4).all()) and bool((splats.scales > 0).all())

        return read

    return reads


def splats(name: str) -> Callable[[], list[tuple[str, bytes]]]:
    """Twelve splats as the format writes them; of a .ply as text and with harmonics, too."""

    def seeds() -> list[tuple[str, bytes]]:
        import torch
        from plyfile import PlyData

        from engine.formats.splats import splat_formats
        from engine.gaussians.gaussians import Splats

        rand = torch.Generator().manual_seed(0)
        sizes = ((12, 3), (12, 4), (12, 3), (12,), (12, 3))
        splats = Splats(*(torch.rand(size, generator=rand) + 0.01 for size in sizes))
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, f"a.{name}")
            splat_formats()[name].write(splats, path)
            found = [path.read_bytes()]
            if name == "ply":
                for order in "=>":
                    other = Path(folder, "b.ply")
                    PlyData(PlyData.read(str(path)).elements, text=order == "=", byte_order=order).write(str(other))
                    found.append(other.read_bytes())
            return [(path.suffix, content) for content in found]

    return seeds


def lam_reader() -> Callable[[Path], object]:
    from engine.exchange.imports.lam import read_lam

    return read_lam


def lams() -> list[tuple[str, bytes]]:
    from tests.engine.exchange.lam_file import write_lam

    chance = np.random.default_rng(0)
    vertices, faces = chance.normal(0, 0.1, (12, 3)) + (0, 1.6, 0), np.arange(12).reshape(4, 3)
    keys = {name: chance.normal(0, 0.01, (12, 3)) for name in ("jawOpen", "eyeBlinkLeft", "smile")}
    splats = {"means": vertices, "colors": vertices, "opacities": np.full(12, 0.5), "scales": np.full((12, 3), 0.01)}
    splats["quats"] = chance.normal(size=(12, 4))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "ball.zip")
        write_lam(path, vertices, faces, keys, splats)
        return [(".zip", path.read_bytes())]


def flame_param_reader() -> Callable[[Path], object]:
    from engine.exchange.imports.gaussian_avatars import read_parameters

    return read_parameters


def flame_params() -> list[tuple[str, bytes]]:
    widths = {"expr": 10, "rotation": 3, "neck_pose": 3, "jaw_pose": 3, "eyes_pose": 6}
    arrays = {name: np.zeros((4, width), np.float32) for name, width in widths.items()}
    packed = io.BytesIO()
    np.savez(packed, shape=np.zeros(30), static_offset=np.zeros((1, 50, 3)), **arrays)
    return [(".npz", packed.getvalue())]


def glb_reader() -> Callable[[Path], object]:
    from engine.exchange.glb_splats import read_glb_splats

    return read_glb_splats


def glbs() -> list[tuple[str, bytes]]:
    from tests.engine.exchange.glb_file import write_glb

    chance = np.random.default_rng(0)
    quats = chance.normal(size=(8, 4))
    quats /= np.linalg.norm(quats, axis=1, keepdims=True)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "ball.glb")
        places, scales = chance.normal(0, 0.1, (8, 3)), np.full((8, 3), 0.01)
        write_glb(path, places, quats, scales, np.full(8, 0.5), chance.random((8, 3)))
        return [(".glb", path.read_bytes())]
