"""What the engine passes to kernels is what gsplat's sources say they take, and what the compiled file says."""

from __future__ import annotations

import ctypes
import importlib.util
import re
from pathlib import Path

import pytest

from building import cubins
from building.kernels import BINARY, PLACE, SOURCES, cut
from building.shell import BUILD, ROOT
from engine.splatting.cuda.signatures import SIGNATURES

TYPES = {
    "uint32_t": ctypes.c_uint32, "CameraModelType": ctypes.c_uint32, "float": ctypes.c_float, "bool": ctypes.c_bool,
}  # fmt: skip


def test_names_types_and_order_are_gsplats():
    spec = importlib.util.find_spec("gsplat")
    if spec is None:
        pytest.skip("gsplat is not installed")
    folder = Path(spec.submodule_search_locations[0]) / "cuda" / "csrc"
    code = "\n".join(cut((folder / name).read_text("utf-8")) for name in SOURCES)
    found = {}
    for name, inside in re.findall(r"__global__ void (\w+)\((.*?)\) \{", re.sub(r"//[^\n]*", "", code), re.DOTALL):
        found[name] = []
        for text in inside.split(","):
            kind, word = re.fullmatch(r"(?:const )?(\w+)(\s*\*__restrict__)?\s+\w+", text.strip()), text.split()[-1]
            assert kind, text
            found[name].append((word, ctypes.c_void_p if kind[2] else TYPES[kind[1]]))
    assert found == {name: list(parameters._fields_) for name, parameters in SIGNATURES.items()}


def compiled() -> list[Path]:
    return [*(BUILD / "kernels").glob(f"*/{BINARY}"), *(ROOT / PLACE).glob(BINARY)]


@pytest.mark.skipif(not compiled(), reason="the kernels were not compiled: python3 -m building.kernels")
def test_the_compiled_kernels_take_what_is_passed():
    pytest.importorskip("lief")
    data = max(compiled(), key=lambda path: path.stat().st_mtime).read_bytes()
    assert set(cubins.names(data)) == set(SIGNATURES)
    entries = {(entry.kind, entry.architecture) for entry in cubins.read(data)}
    assert entries == {*(("sm", n) for n in (75, 80, 86, 89, 90, 100, 120)), ("compute", 120)}
