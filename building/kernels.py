"""Compiles gsplat's own kernels into one file for all NVIDIA cards: nothing is compiled on an artist's machine.

The sources are those of the pinned gsplat, cut from its wheel: each kernel without the C++ that launches it, which
would need PyTorch's headers (:mod:`engine.splatting.cuda` does that part). The compiler, nvcc, comes from the package
index too and needs a C++ compiler beside it. ``python3 -m building.kernels`` puts the file beside the engine's code,
for whoever runs it from here on a card.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import sys
import zipfile
from collections.abc import Iterable
from pathlib import Path

from building import shell, wheels
from building.environments import ENGINE, Environment, pins
from building.shell import BUILD, ROOT, step

NVCC = Environment(BUILD / "nvcc")
FILES = BINARY, LIST = "kernels.fatbin", "kernels.json"
PLACE = Path("engine", "splatting", "cuda")  # of the files, in the repository and in the zip
ARCHITECTURES = ("75", "80", "86", "89", "90", "100")  # from cards of 2018 on
NEWEST = "120"  # also as PTX, which drivers compile for cards that come later
FLAGS = (
    "-fatbin", "-O3", "--use_fast_math", "-std=c++17", "--expt-relaxed-constexpr", "--disable-warnings",
    "--compress-mode=none",  # the zip compresses; and what FOLDER_ID finds is everywhere to be seen
)  # fmt: skip
SOURCES = (
    "ProjectionEWA3DGSFused.cu", "IntersectTile.cu", "RasterizeToPixels3DGSFwd.cu", "RasterizeToPixels3DGSBwd.cu",
)  # fmt: skip
# Pointers to the kernels, as many channels as ours have, so that the compiler makes them.
PROGRAM = """\
#include <algorithm>
#include <cstdint>
#include <cooperative_groups.h>
#include <cooperative_groups/reduce.h>
#include "Common.h"
#include "Utils.cuh"
__device__ inline void gpuAtomicAdd(float *place, float value) { atomicAdd(place, value); }  // PyTorch's
namespace gsplat {
namespace cg = cooperative_groups;
%s
void *kernel(int index) {
    void *all[] = {
        (void *)projection_ewa_3dgs_fused_fwd_kernel<float>, (void *)projection_ewa_3dgs_fused_bwd_kernel<float>,
        (void *)intersect_tile_kernel<float>, (void *)intersect_offset_kernel,
        (void *)rasterize_to_pixels_3dgs_fwd_kernel<4, float>, (void *)rasterize_to_pixels_3dgs_bwd_kernel<4, float>,
    };
    return all[index];
}
}
"""
FOLDER_ID = re.compile(rb"_[0-9a-f]{8}(?=_10_kernels_cu)")  # in names, of the folder that was compiled in
KERNEL = re.compile(r"^(?:template <[^>]*>\n)?__global__ void (\w+)\(.*?^}$", re.MULTILINE | re.DOTALL)


def cut(source: str) -> str:
    """The kernels of a source of gsplat's, each from its template to the brace that closes it.

    Raises:
        SystemExit: there is none.
    """
    found = [match[0] for match in KERNEL.finditer(source)]
    if not found or source.count("__global__") != len(found):
        raise SystemExit("gsplat's sources are not laid out as building/kernels.py expects; is it another version?")
    return "\n\n".join(found)


def compiled() -> Path:
    """The folder with :data:`FILES`: the kernels, and the list of what they are; compiled where they are not yet.

    Raises:
        SystemExit: they cannot be compiled, or are not what the engine will launch.
    """
    folder, row = wheels.gsplat()
    with zipfile.ZipFile(folder / row["file"]) as wheel:
        program = PROGRAM % "\n\n".join(cut(wheel.read(f"gsplat/cuda/csrc/{name}").decode()) for name in SOURCES)
        key = _key((row["sha256"], program, *pins("kernels"), *_words(Path())))
        made = BUILD / "kernels" / key
        if made.exists():
            return made
        NVCC.install(pins("kernels"))
        fresh = made.with_suffix(".part")
        shutil.rmtree(fresh, ignore_errors=True)
        wheel.extractall(fresh, [name for name in wheel.namelist() if name.startswith("gsplat/cuda/")])
    step("Compiling gsplat's kernels (a minute)")
    (fresh / "kernels.cu").write_text(program, "utf-8")
    nvcc = next(NVCC.folder.rglob("nvcc.exe" if os.name == "nt" else "bin/nvcc"))
    if shell.run(nvcc, *_words(fresh), "-o", fresh / BINARY, fresh / "kernels.cu"):
        raise SystemExit("gsplat's kernels could not be compiled; nvcc, which needs a C++ compiler, says why above.")
    (fresh / BINARY).write_bytes(FOLDER_ID.sub(b"_00000000", (fresh / BINARY).read_bytes()))  # the same from any folder
    if shell.run(ENGINE.python, "-m", "building.cubins", fresh / BINARY, fresh / LIST):
        raise SystemExit("The compiled kernels are not those that the engine launches; the message above says why.")
    shutil.rmtree(fresh / "gsplat")
    fresh.rename(made)
    return made


def place(made: Path, root: Path) -> None:
    """Copy the kernels beside the engine's code, below ``root``."""
    for name in FILES:
        shutil.copy(made / name, root / PLACE)


def _words(folder: Path) -> list[str]:
    cuda = folder / "gsplat" / "cuda"
    words = [f"-gencode=arch=compute_{number},code=sm_{number}" for number in ARCHITECTURES]
    words.append(f"-gencode=arch=compute_{NEWEST},code=[sm_{NEWEST},compute_{NEWEST}]")
    includes = (cuda / "include", cuda / "csrc", cuda / "csrc" / "third_party" / "glm")
    return [*FLAGS, *words, *(word for path in includes for word in ("-I", str(path)))]


def _key(inputs: Iterable[str]) -> str:
    """Of all that the files depend on, the code that makes, reads and lists them included."""
    code = [Path(__file__), ROOT / "building" / "cubins.py", ROOT / PLACE / "signatures.py"]
    words = [*inputs, *(path.read_text("utf-8") for path in code)]
    return hashlib.sha256("\0".join(words).encode()).hexdigest()[:16]


if __name__ == "__main__":
    ENGINE.install(pins("engine", "package"))
    place(compiled(), ROOT)
    sys.exit(0)
