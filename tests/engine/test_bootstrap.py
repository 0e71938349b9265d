"""What must be so before anything else is imported is so, in every process, and Windows is told what to load."""

import ctypes
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest

from engine import bootstrap


def test_any_import_of_the_engine_silences_what_it_imports_later():
    environment = {key: value for key, value in os.environ.items() if key not in bootstrap.VARIABLES}
    script = "import engine.errors, os, sys; print(os.environ['ORT_DISABLE_TELEMETRY'], 'numpy' in sys.modules)"
    said = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert said.stdout.split() == ["1", "False"]


def test_standard_output_is_kept_for_who_claims_it():
    script = (
        "import os; from engine import bootstrap\n"
        "kept = bootstrap.claim_stdout()\n"
        "print('from Python'); os.write(1, b'from C\\n'); os.system('echo from a child')\n"
        "kept.write('the line\\n')\n"
    )
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert said.stdout == "the line\n"
    assert {"from Python", "from C", "from a child"} == set(said.stderr.splitlines())


def test_others_come_first():
    script = (
        "import psutil; from engine import bootstrap\n"
        "before = psutil.Process().nice(); bootstrap.yield_to_others(); print(before, psutil.Process().nice())\n"
    )
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    before, after = said.stdout.split()
    assert before != after


def test_windows_libraries_are_loaded_by_full_path_the_first_folder_first(tmp_path, monkeypatch):
    """Windows itself is played here; the real thing runs in tests/windows."""
    blender, runtime = tmp_path / "blender base", tmp_path / "blender.crt"
    for folder, names in {blender: ["python3", "msvcp140"], runtime: ["vcruntime140", "msvcp140", "vcomp140"]}.items():
        folder.mkdir()
        for name in names:
            (folder / f"{name}.dll").touch()
    loaded, folders = [], []
    monkeypatch.setattr(bootstrap, "sys", SimpleNamespace(platform="win32", stdout=None, stderr=None))
    monkeypatch.setattr(ctypes, "WinDLL", loaded.append, raising=False)
    monkeypatch.setattr(os, "add_dll_directory", folders.append, raising=False)
    missing = tmp_path / "missing"
    monkeypatch.setenv(bootstrap.LIBRARIES, os.pathsep.join(map(str, (blender, missing, runtime))))
    bootstrap.prepare()
    expected = [blender / "python3", runtime / "vcruntime140", blender / "msvcp140", runtime / "vcomp140"]
    assert loaded == [f"{path}.dll" for path in expected]
    assert folders == [str(blender), str(runtime)]


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ImportError("DLL load failed while importing cv2: The specified module could not be found."), "Media Feature"),
        (ImportError("DLL load failed while importing onnxruntime_pybind11_state: a routine failed."), "vc_redist"),
        (ImportError("No module named 'torch'"), ""),
    ],
)
def test_a_library_that_windows_cannot_load_has_a_way_out(monkeypatch, error, words):
    monkeypatch.setattr(bootstrap, "sys", SimpleNamespace(platform="win32"))
    hint = bootstrap.import_hint(error)
    assert words in hint
    assert bool(hint) == bool(words)
