"""What a computer lacks is said before a gigabyte is unpacked; where the engine finds Windows' libraries."""

import importlib
import sys
from pathlib import Path

import pytest


@pytest.fixture
def system(addon):
    return importlib.import_module(f"{addon}.engine_client.system")


@pytest.fixture
def failure(addon):
    return importlib.import_module(f"{addon}.errors").AddonError


@pytest.fixture
def computer(system, monkeypatch):
    """Pretends to be another computer."""

    def pretend(platform: str, machine: str, macos: str = "") -> None:
        monkeypatch.setattr(system.sys, "platform", platform)
        monkeypatch.setattr(system.platform, "machine", lambda: machine)
        monkeypatch.setattr(system.platform, "mac_ver", lambda: (macos, ("", "", ""), machine))

    return pretend


@pytest.mark.parametrize(
    ("zip_for", "computer_is", "words"),
    [
        ("windows-x64", ("win32", "AMD64"), ""),
        ("linux-x64", ("linux", "x86_64"), ""),
        ("macos-arm64", ("darwin", "arm64", "14.0"), ""),
        ("macos-arm64", ("darwin", "arm64", "26.1"), ""),
        ("macos-arm64", ("darwin", "arm64", "13.6.9"), r"needs macOS 14 or newer; this is macOS 13\.6\.9"),
        ("macos-arm64", ("darwin", "x86_64", "14.0"), "for macOS on Apple silicon"),
        ("windows-x64", ("win32", "ARM64"), "for 64-bit Windows on Intel and AMD"),
        ("linux-x64", ("win32", "AMD64"), "for 64-bit Linux"),
    ],
)
def test_another_system_is_refused_by_name(system, failure, computer, zip_for, computer_is, words):
    computer(*computer_is)
    if not words:
        system.check(zip_for, "14.0")
        return
    with pytest.raises(failure, match=words) as caught:
        system.check(zip_for, "14.0")
    assert caught.value.hint


@pytest.fixture
def blender(tmp_path) -> Path:
    folder = tmp_path / "blender"
    (folder / "blender.crt").mkdir(parents=True)
    return folder


@pytest.mark.parametrize(
    ("windows", "own", "found"),
    [
        ((14, 44, 1, 0), (14, 29, 1, 0), 1),  # Blender's folder, for python3.dll, but not its older runtime
        ((14, 29, 1, 0), (14, 44, 1, 0), 2),
        ((), (14, 44, 1, 0), 2),
        ((14, 50, 1, 0), (), 1),
    ],
)
def test_the_newer_runtime_is_taken(system, computer, monkeypatch, blender, windows, own, found):
    computer("win32", "AMD64")
    versions = {"System32": windows, "blender.crt": own}
    monkeypatch.setattr(system, "dll_version", lambda path: versions.get(path.parent.name, ()))
    assert system.library_folders(blender) == [blender, blender / "blender.crt"][:found]


@pytest.mark.parametrize(("windows", "words"), [((), "there is none"), ((14, 29, 1, 0), r"only version 14\.29")])
def test_without_a_runtime_the_redistributable_is_named(
    system, failure, computer, monkeypatch, blender, windows, words
):
    computer("win32", "AMD64")
    monkeypatch.setattr(system, "dll_version", lambda path: windows if path.parent.name == "System32" else ())
    with pytest.raises(failure, match=words) as caught:
        system.library_folders(blender)
    assert "https://aka.ms" in caught.value.hint


@pytest.mark.skipif(sys.platform != "win32", reason="asks Windows itself")
def test_a_librarys_version_is_read(system, tmp_path):
    assert system.dll_version(Path(sys.base_prefix) / "bin" / "python311.dll")[:2] == sys.version_info[:2]
    assert system.dll_version(tmp_path / "none.dll") == ()
