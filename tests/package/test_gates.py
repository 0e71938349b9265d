"""What stops a package: each rule on tiny wheels with real binaries of the three systems."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from building import binaries, gates, wheels
from tests.package.small_binaries import elf, macho, pe
from tests.standins import make_wheel

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("lief") is None, reason="needs lief, which build.py package installs"
)

TOO_LONG = f"bad/{'n' * (gates.LONGEST - len(gates.SITE) - len('bad/.py') + 1)}.py"
FRAMEWORKS = "/System/Library/Frameworks"
CLEAN = {
    "windows-x64": {
        "part/core.pyd": pe("KERNEL32.dll", "api-ms-win-crt-heap-l1-1-0.dll", "python311.dll", "own-1a2b.dll"),
        "part.libs/own-1a2b.dll": pe("WS2_32.dll", "VCRUNTIME140.dll"),
    },
    "linux-x64": {
        "part/core.so": elf("libc.so.6", "libown-1a2b.so.1", glibc="2.28", search="$ORIGIN/../part.libs"),
        "part.libs/libown-1a2b.so.1": elf("libm.so.6", "libgcc_s.so.1"),
    },
    "macos-arm64": {
        "part/core.so": macho("/usr/lib/libSystem.B.dylib", "@loader_path/.dylibs/libown.dylib", minimum=(14, 0)),
        "part/.dylibs/libown.dylib": macho(f"{FRAMEWORKS}/Accelerate.framework/Versions/A/Accelerate"),
    },
}


@pytest.fixture(autouse=True)
def reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple]:
    """Reads binaries in this process, and counts how often wheels were read."""
    calls: list[tuple] = []

    def run(*words) -> int:
        calls.append(words)
        return binaries.main([str(word) for word in words[3:]])

    monkeypatch.setattr(binaries, "FOLDER", tmp_path / "binaries")
    monkeypatch.setattr(binaries.shell, "run", run)
    return calls


def check(folder: Path, platform: str, **packages: dict[str, bytes]) -> None:
    """Check a bundle of these packages for Python 3.11."""
    made = [make_wheel(folder / "wheels", name, files) for name, files in packages.items()]
    gates.check(platform, "3.11", "cpu", folder / "wheels", [wheels.describe(wheel) for wheel in made])


@pytest.mark.parametrize("platform", CLEAN)
def test_clean_wheels_pass_and_are_read_once(
    platform: str, tmp_path: Path, reads: list[tuple], capsys: pytest.CaptureFixture
) -> None:
    check(tmp_path, platform, part=CLEAN[platform], plain={"plain.py": b"MZ = 1\n"})
    said = capsys.readouterr().out
    assert "9 files" in said  # with METADATA, WHEEL and RECORD of both
    assert ("sockets: part" if platform == "windows-x64" else "sockets: none") in said
    again = [wheels.describe(path) for path in sorted((tmp_path / "wheels").iterdir())]
    gates.check(platform, "3.11", "cpu", tmp_path / "wheels", again)
    assert len(reads) == 1


@pytest.mark.parametrize(
    ("platform", "path", "data", "reason"),
    [
        ("windows-x64", "bad/a.pyd", pe("KERNEL32.dll", "lost.dll"), "needs lost.dll, which nobody brings"),
        ("windows-x64", "bad/a.pyd", pe("python313.dll"), "needs python313.dll, which nobody brings"),
        ("windows-x64", "bad/a.pyd", pe("MSVCP140.dll"), "needs MSVCP140.dll, of Microsoft's runtime"),
        ("windows-x64", "bad/a.pyd", pe(minimum=(10, 0)), "needs Windows 10.0, not 6.3"),
        ("windows-x64", "bad/a.pyd", pe(machine=0xAA64), "PE for arm64, not for windows-x64"),
        ("windows-x64", "bad/a.so", elf(), "ELF for x64, not for windows-x64"),
        ("windows-x64", TOO_LONG, b"", "136 characters below the user's folder, more than 135"),
        ("windows-x64", "bad/tool.bin", pe(program=True), "a program that nobody allowed"),
        ("windows-x64", "imageio_ffmpeg/binaries/other.exe", b"", "a program that nobody allowed"),
        ("windows-x64", "bad/a.pyd", pe("WINHTTP.dll"), "may reach the network (WINHTTP.dll)"),
        ("windows-x64", "bad/a.pyd", pe() + "winhttp.dll".encode("utf-16-le"), "network (winhttp.dll, by name)"),
        ("linux-x64", "bad/a.so", elf("libc.so.6", glibc="2.29"), "needs glibc 2.29, not 2.28"),
        ("linux-x64", "bad/a.so", elf("libX11.so.6"), "needs libX11.so.6, which nobody brings"),
        ("linux-x64", "bad/tool", elf(program=True), "a program that nobody allowed"),
        ("linux-x64", "bad/a.so", elf() + b"https://mobile.events.data.microsoft.com", "(events.data.microsoft.com)"),
        ("macos-arm64", "bad/a.so", macho(minimum=(14, 2)), "needs macOS 14.2, not 14.0"),
        ("macos-arm64", "bad/a.so", macho("@loader_path/lost.dylib"), "needs @loader_path/lost.dylib"),
        ("macos-arm64", "bad/a.so", macho(signed=False), "has no code signature"),
        ("macos-arm64", "bad/a.so", macho(f"{FRAMEWORKS}/CFNetwork.framework/Versions/A/CFNetwork"), "network ("),
    ],
)
def test_each_fault_is_named_with_its_file_and_reason(
    platform: str, path: str, data: bytes, reason: str, tmp_path: Path
) -> None:
    with pytest.raises(SystemExit) as stopped:
        check(tmp_path, platform, part=CLEAN[platform], bad={path: data})
    head, *lines = str(stopped.value).splitlines()
    assert head == f"1 reasons against the wheels for Python 3.11 on {platform}:"
    assert lines[0].startswith(f"  bad: {path}: ")
    assert reason in lines[0]


def test_all_faults_are_named_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gates, "MOST_FILES", 7)
    monkeypatch.setattr(gates, "MOST_BYTES", 1000)
    with pytest.raises(SystemExit) as stopped:
        check(tmp_path, "windows-x64", one={"one.pyd": pe("a.dll")}, two={"two.pyd": pe("b.dll", "WININET.dll")})
    said = str(stopped.value)
    assert said.startswith("5 reasons")
    for part in (
        "8 files are unpacked, more than 7",
        "MB are unpacked",
        "one.pyd: needs a.dll",
        "two.pyd: needs b.dll",
    ):
        assert part in said


def test_a_library_must_lie_where_the_loader_looks(tmp_path: Path) -> None:
    files = {"one/a.so": elf("libx.so", search="$ORIGIN/../two.libs")}
    check(tmp_path, "linux-x64", one=files, two={"two.libs/libx.so": elf()})
    with pytest.raises(SystemExit, match="needs libx.so"):
        check(tmp_path, "linux-x64", one=files, two={"elsewhere/libx.so": elf()})


def test_who_may_reach_the_network_may_do_no_more_than_is_known(tmp_path: Path) -> None:
    path = "onnxruntime/capi/onnxruntime_pybind11_state.so"
    check(tmp_path, "linux-x64", onnxruntime={path: elf() + b"OneCollector"})
    with pytest.raises(SystemExit, match=r"may reach the network \(sentry\.io\)"):
        check(tmp_path, "linux-x64", onnxruntime={path: elf() + b"OneCollector, sentry.io"})


def test_it_reads_in_the_engines_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.setattr(binaries, "FOLDER", tmp_path / "binaries")
    with pytest.raises(SystemExit, match="needs lost.dll"):
        check(tmp_path, "windows-x64", bad={"a.pyd": pe("lost.dll")})


def test_what_cannot_be_read_is_not_passed_over(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="broken.dll starts like a binary but cannot be read"):
        check(tmp_path, "windows-x64", broken={"broken.dll": b"MZ" + bytes(100)})
