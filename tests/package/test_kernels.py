"""gsplat's kernels are compiled once, from its own wheel, and only if they are what the engine will launch."""

from __future__ import annotations

import importlib.util
import json
import struct
from pathlib import Path

import pytest

import build
from building import cubins, extension, kernels, shell, wheels
from building.environments import Environment
from engine.splatting.cuda.signatures import SIGNATURES, layout
from tests.standins import make_wheel

SOURCE = """\
#include <ATen/core/Tensor.h>
namespace gsplat {
template <typename scalar_t>
__global__ void one_kernel(
    const uint32_t N
) {
    if (N) {
        return;
    }
}

void launch_one_kernel(const at::Tensor means) {
    one_kernel<float><<<1, 1>>>(0);
}

__global__ void two_kernel(const uint32_t n) {
}
}
"""


def test_kernels_are_cut_out_without_what_launches_them():
    assert kernels.cut(SOURCE).split("\n\n") == [
        "template <typename scalar_t>\n__global__ void one_kernel(\n    const uint32_t N\n) {\n"
        "    if (N) {\n        return;\n    }\n}",
        "__global__ void two_kernel(const uint32_t n) {\n}",
    ]
    for other in ("", "namespace gsplat {}", SOURCE.replace("\n}\n}", "")):  # the last one's end is missing
        with pytest.raises(SystemExit, match="another version"):
            kernels.cut(other)


@pytest.fixture
def commands(monkeypatch, tmp_path):
    """What would have been run, in an environment with a compiler that always succeeds."""
    ran: list[list[str]] = []

    def run(*command, environment=None):
        ran.append([str(word) for word in command])
        target = Path(command[-1]) if "building.cubins" in command else Path(command[-2])
        target.write_text("{}")
        return 0

    def install(self, wanted):
        ran.append(["install", *wanted])
        program = self.folder / "cu13" / "bin" / "nvcc"
        program.parent.mkdir(parents=True, exist_ok=True)
        program.touch()
        program.with_suffix(".exe").touch()

    files = {f"gsplat/cuda/csrc/{name}": SOURCE.encode() for name in kernels.SOURCES}
    wheel = make_wheel(tmp_path / "wheel", "gsplat", files | {"gsplat/cuda/include/Utils.cuh": b"", "gsplat/a.py": b""})
    monkeypatch.setattr(wheels, "gsplat", lambda: (wheel.parent, wheels.describe(wheel)))
    monkeypatch.setattr(kernels, "BUILD", tmp_path / "build")
    monkeypatch.setattr(kernels, "NVCC", Environment(tmp_path / "nvcc"))
    monkeypatch.setattr(Environment, "install", install)
    monkeypatch.setattr(shell, "run", run)
    return ran


def test_they_are_compiled_once_for_every_card(commands, monkeypatch):
    made = kernels.compiled()
    assert {*kernels.FILES, "kernels.cu"} == {path.name for path in made.iterdir()}
    installed, compiling, listing = commands
    assert any(word.startswith("nvidia-cuda-nvcc==") for word in installed)
    codes = [word for word in compiling if word.startswith("-gencode")]
    assert [word.split("=sm_")[-1] for word in codes[:-1]] == ["75", "80", "86", "89", "90", "100"]
    assert codes[-1].endswith("[sm_120,compute_120]")
    assert listing[1:3] == ["-m", "building.cubins"]
    assert (made / "kernels.cu").read_text().count("__global__") == 2 * len(kernels.SOURCES)

    assert kernels.compiled() == made and len(commands) == 3  # nothing is compiled again
    monkeypatch.setattr(kernels, "FLAGS", (*kernels.FLAGS, "-G"))
    assert kernels.compiled() != made and len(commands) == 6


def test_what_does_not_compile_leaves_nothing_behind(commands, monkeypatch):
    works = shell.run
    for failing, said in (("-fatbin", "could not be compiled"), ("building.cubins", "not those that the engine")):
        monkeypatch.setattr(shell, "run", lambda *words, failing=failing: int(failing in words) or works(*words))
        with pytest.raises(SystemExit, match=said):
            kernels.compiled()
    monkeypatch.setattr(shell, "run", works)
    assert kernels.compiled().is_dir()


@pytest.mark.parametrize(("accelerator", "carried"), [("cuda", True), ("cpu", False)])
def test_only_the_cuda_edition_carries_them(commands, monkeypatch, accelerator, carried):
    asked = []
    monkeypatch.setattr(extension, "package", lambda *words: asked.append(words))
    assert build.main(["package", "--platform", "linux-x64", "--accelerator", accelerator]) == 0
    ((*_, compiled),) = asked
    assert (compiled is not None) == carried == bool([c for c in commands if "-fatbin" in c])


def cubin(parameters: dict[str, list[tuple[int, int]]]) -> bytes:
    """A program for a card as far as it says what its kernels take: an ELF with one section for each."""
    names, bodies = [""], [b""]
    for name, found in parameters.items():
        info = struct.pack("<BBH", 3, 0x1B, 255)  # an attribute without a size: the most registers
        for index, (offset, size) in enumerate(found):
            info += struct.pack("<BBHIHHI", 4, 0x17, 12, 0, index, offset, size << 18 | 0x1F000)
        names.append(cubins.INFO + name)
        bodies.append(info)
    names.append(".shstrtab")
    strings = b"".join(name.encode() + b"\0" for name in names)
    bodies.append(strings)
    at, headers = 64, b""
    for name, body in zip(names, bodies, strict=True):
        kind = 0 if not name else 3 if name == ".shstrtab" else 0x70000000
        place = strings.index(name.encode() + b"\0")
        headers += struct.pack("<IIQQQQIIQQ", place, kind, 0, 0, at, len(body), 0, 0, 1, 0)
        at += len(body)
    head = b"\x7fELF\2\1\1\x33".ljust(16, b"\0")
    head += struct.pack("<HHIQQQIHHHHHH", 2, 190, 1, 0, 0, at, 0, 64, 0, 0, 64, len(names), len(names) - 1)
    return head + b"".join(bodies) + headers


def fat(*programs: tuple[int, bytes]) -> bytes:
    body = b"".join(struct.pack("<HHIQ12xI32x", 2, 0x101, 64, len(data), number) + data for number, data in programs)
    body += struct.pack("<HHIQ12xI32x", 1, 0x101, 64, 8, 120) + b"\x28\xb5\x2f\xfdPTX!"
    return struct.pack("<IHHQ", cubins.MAGIC, 1, 16, len(body)) + body


@pytest.mark.skipif(importlib.util.find_spec("lief") is None, reason="needs what build.py package installs")
def test_other_kernels_than_the_engine_launches_are_refused(tmp_path, capsys):
    right = {f"_ZN6gsplat{len(name)}{name}E": layout(parameters) for name, parameters in SIGNATURES.items()}
    data = fat((75, cubin(right)), (90, cubin(right)))
    assert [(entry.kind, entry.architecture) for entry in cubins.read(data)] == [
        ("sm", 75), ("sm", 90), ("compute", 120),
    ]  # fmt: skip
    assert list(cubins.names(data).values()) == list(right)

    (tmp_path / "a.fatbin").write_bytes(data)
    assert cubins.main([str(tmp_path / "a.fatbin"), str(tmp_path / "a.json")]) == 0
    listed = json.loads((tmp_path / "a.json").read_text())
    assert listed["size"] == len(data) and listed["names"] == cubins.names(data)

    name = next(iter(right))
    moved = right | {name: [(offset + 4, size) for offset, size in right[name]]}
    longer = right | {name: [*right[name], (999, 8)]}
    fewer = {key: value for key, value in right.items() if key != name}
    renamed = fewer | {name.replace("_ZN6", "_ZN7"): right[name]}
    for wrong, said in ((moved, "takes"), (longer, "takes"), (fewer, "has not one"), (renamed, "has not one")):
        (tmp_path / "a.fatbin").write_bytes(fat((75, cubin(right)), (90, cubin(wrong))))
        with pytest.raises(SystemExit, match=said):
            cubins.main([str(tmp_path / "a.fatbin"), str(tmp_path / "a.json")])
    for damaged in (b"", data[:-1], data[:40], b"\0" + data[1:], fat()):
        with pytest.raises(ValueError, match="fat binary"):
            cubins.names(damaged)
