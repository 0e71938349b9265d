"""What is unpacked of wheels: all that the engine opens, a licence of each package, and little else."""

from __future__ import annotations

import importlib.metadata
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from building import contents, wheels
from building.environments import pins
from tests.standins import make_wheel

RULE = re.compile("|".join(f"(?:{pattern})" for pattern in contents.LEFT_OUT), re.IGNORECASE)
LICENCE = re.compile(r"(.*/)?(licen[cs]e|copying|notice)[^/]*(/[^/]+)?", re.IGNORECASE)

# Everything that an artist's engine imports, early or late: a network with DINOv3, an optimizer's step, a session of
# onnxruntime, the server's application. Prints where the files lie that were loaded.
ALL_WAYS = """
import importlib, json, pkgutil, sys
import engine
for module in pkgutil.walk_packages(engine.__path__, "engine."):
    optional = "engine.exchange.usd"  # with an extra of its own
    if not module.name.startswith(("engine.training", "engine.benchmark", "engine.blender", optional)):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
import torch
from engine.models.kit.encoders import Dino, DinoConfig
network = Dino(DinoConfig(48, 1, 3, frozen=False))
optimizer = torch.optim.Adam(network.parameters())
network(torch.zeros(1, 3, 32, 32))[0].sum().backward()
optimizer.step()
files = {getattr(module, "__file__", None) for module in list(sys.modules.values())}
try:
    files |= {line.split(maxsplit=5)[-1].strip() for line in open("/proc/self/maps") if "site-packages" in line}
except OSError:
    pass  # another system than Linux
print(json.dumps(sorted(str(file) for file in files if file)))
"""


@pytest.fixture(scope="module")
def loaded() -> list[str]:
    """The files of packages that the engine loads, as their wheels name them."""
    said = subprocess.run([sys.executable, "-c", ALL_WAYS], capture_output=True, text=True, check=True).stdout
    parts = [Path(file).as_posix().split("/site-packages/") for file in json.loads(said.splitlines()[-1])]
    return [inside for _, inside in (part for part in parts if len(part) == 2)]


@pytest.mark.slow
def test_all_that_the_engine_loads_is_unpacked(loaded: list[str]) -> None:
    assert len(loaded) > 1000
    assert {"cv2", "torch", "scipy", "onnxruntime", "safetensors"} <= {path.split("/")[0] for path in loaded}
    assert [path for path in loaded if RULE.fullmatch(path)] == []


def packages(loaded: list[str]) -> set[str]:
    """The names of the distributions that brought these files."""
    tops = {path.split("/")[0] for path in loaded} - {"_distutils_hack"}  # every Python with setuptools starts with it
    return {name for top, names in importlib.metadata.packages_distributions().items() if top in tops for name in names}


@pytest.mark.slow
def test_what_is_not_shipped_is_not_imported(loaded: list[str]) -> None:
    names = {name.lower().replace("_", "-") for name in packages(loaded)}
    tools = {pin.partition("==")[0].partition("[")[0] for pin in pins("dev")}
    assert names & {*wheels.NOT_SHIPPED, *tools} == set()


@pytest.mark.slow
def test_every_package_keeps_a_licence(loaded: list[str]) -> None:
    names = packages(loaded)
    assert len(names) > 25
    for name in sorted(names):
        files = [path.as_posix() for path in importlib.metadata.files(name) or ()]
        licences = [path for path in files if LICENCE.fullmatch(path)]
        assert not licences or [path for path in licences if not RULE.fullmatch(path)], name


def test_what_nobody_opens_is_left_out(tmp_path: Path) -> None:
    kept = {
        "part/__init__.py": b"import latest.contest",
        "part/latest/contest.py": b"",  # not tests
        "part/include.py": b"",
        "part/data/table.csv": b"1,2",
        "part/LICENSE": b"free",
        "part-1.0.data/platlib/part.libs/core.dll": b"MZ",
        "imageio_ffmpeg/binaries/ffmpeg-win-x86_64.exe": b"MZ",
        "torch/bin/torch_shm_manager": b"",
        "torch-1.0.dist-info/licenses/third_party/fmt/LICENSE": b"free",
        "torch-1.0.dist-info/licenses/third_party/ideep/mkl-dnn/LICENSE": b"free",
        "igl/__init__.py": b"",
        "onnxruntime/capi/onnxruntime_pybind11_state.pyd": b"",
    }
    left = [
        "part/include/part/deep/core.h", "part/CORE.HPP", "part/kernel.cu", "part/core.lib", "lib/libcore.a",
        "part/core.pdb", "share/cmake/part.cmake", "part/tests/test_part.py", "part/sub/test/data.npz",
        "part/core.pyi", "part/cli.exe", "part-1.0.data/scripts/part", "torch/bin/protoc",
        "torch-1.0.dist-info/licenses/third_party/kineto/third_party/fmt/LICENSE", "cv2/LICENSE.txt",
        "igl/embree/__init__.py", "onnxruntime/capi/libonnxruntime.so.1.31.1",
        "onnxruntime/capi/onnxruntime.dll", "onnxruntime/tools/check.py",
    ]  # fmt: skip
    wheel = make_wheel(tmp_path, "part", kept | dict.fromkeys(left, b"x"))
    found = contents.kept(wheel)
    own = {f"part-1.0.dist-info/{name}" for name in ("METADATA", "WHEEL", "RECORD")}
    assert {info.filename for info in found} == {*kept, *own}

    row = wheels.describe(wheel)
    assert row["files"] == len(kept) + 3
    assert row["unpacked"] == sum(info.file_size for info in found) < row["size"] + 10_000
    assert row["longest"] == max(len(path.replace("part-1.0.data/platlib/", "")) for path in kept)
