"""The one door for machines: ``python3 build.py demo | test | assets``. Needs Python 3.11 or newer and nothing else.

demo    installs what is needed, fetches the data files and makes two heads from photos, into out/demo
test    the checks (ruff, pyright, import contracts) and the tests; further arguments go to pytest
assets  only fetches the data files

Everything lands in this folder: dependencies in .venv, data files in engine/assets/files. A second run installs and
fetches nothing anew.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from engine import assets

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
BIN = VENV / ("Scripts" if os.name == "nt" else "bin")
PYTHON = BIN / ("python.exe" if os.name == "nt" else "python")
INSTALLED = VENV / "installed.json"  # the requirements that the environment was last made for

# What the wheels of mediapipe and OpenCV expect of Linux, and the Debian or Ubuntu packages that bring it.
LIBRARIES = {
    "libEGL.so.1": "libegl1",
    "libGLESv2.so.2": "libgles2",
    "libGL.so.1": "libgl1",
    "libgthread-2.0.so.0": "libglib2.0-0",
    "libxcb.so.1": "libxcb1",
}

DEMO = {
    "astronaut": ("samples/astronaut.png",),
    "person_a": ("samples/person_a_1.jpg", "samples/person_a_2.jpg"),
}


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True, metavar="demo | test | assets")
    commands.add_parser("demo", help="two heads from photos, from a fresh clone")
    commands.add_parser("test", help="all checks and tests; further arguments go to pytest")
    sub = commands.add_parser("assets", help="fetch the data files")
    sub.add_argument("--samples", action="store_true", help="also the photos and clips of demo and tests")
    sub.add_argument("--clips", action="store_true", help="also the longer clips for evaluate (needs npm)")
    options, rest = parser.parse_known_args(arguments)
    if rest and options.command != "test":
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    if sys.version_info < (3, 11):  # noqa: UP036 - whoever starts this file with an older Python shall be told
        raise SystemExit("Python 3.11 or newer is needed.")
    if options.command == "demo":
        return demo()
    if options.command == "test":
        return test(rest)
    install(requirements(only="pip"))
    return fetch(*[group for group in ("samples", "clips") if getattr(options, group)])


def demo() -> int:
    """Make the demo's heads and print how long each stage took and how good the fit is."""
    check_libraries()
    install(requirements())
    if code := fetch("samples"):
        return code
    folder = ROOT / "out" / "demo"
    folder.mkdir(parents=True, exist_ok=True)
    step("Building the default head (once, about half a minute)")
    if code := run(PYTHON, "-m", "engine.heads"):
        return code
    for name, photos in DEMO.items():
        step(f"Making {name} from {len(photos)} photo{'s' * (len(photos) > 1)}")
        head = folder / name
        outputs = {
            option: f"{head}{ending}"
            for option, ending in (("-o", ".npz"), ("--ply", ".ply"), ("--sheet", ".png"), ("--json", ".json"))
        }
        words = [word for pair in outputs.items() for word in pair]
        if code := run(PYTHON, "-m", "engine", "reconstruct", *map(assets.path, photos), *words):
            return code
    step("Done")
    for name in DEMO:
        print(summary(name, json.loads((folder / f"{name}.json").read_text("utf-8"))))
    print(f"The heads (.npz), splats (.ply) and contact sheets (.png) are in {folder}")
    return 0


def summary(name: str, report: dict) -> str:
    """A few lines of text from the JSON report of ``reconstruct``."""
    lines = [f"{name}: {report['gaussians']} Gaussians, {sum(report['seconds'].values()):.1f} s"]
    lines += [f"    {stage:<16}{seconds:8.1f} s" for stage, seconds in report["seconds"].items()]
    for photo in report["photos"]:
        lines.append(f"    {photo['name']:<24} landmarks {photo['landmark_px']:.2f} px, PSNR {photo['psnr']:.1f} dB")
    return "\n".join(lines) + "\n"


def test(arguments: list[str]) -> int:
    """Run all checks, then the tests; the exit code is 0 only where all of them passed."""
    check_libraries()
    install(requirements("dev"))
    if code := fetch("samples"):
        return code
    if fetch("clips"):
        print("Tests that need these clips will be skipped.")
    checks = {
        "ruff check": (PYTHON, "-m", "ruff", "check", "."),
        "ruff format": (PYTHON, "-m", "ruff", "format", "--check", "."),
        "pyright": (PYTHON, "-m", "pyright"),
        "import contracts": (BIN / "lint-imports", "--no-logo"),
        "pytest": (PYTHON, "-m", "pytest", *arguments),
    }
    failed = []
    for name, command in checks.items():
        step(name)
        if run(*command):
            failed.append(name)
    if failed:
        print(f"\nFailed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def check_libraries() -> None:
    """Stop, with the command that helps, where Linux lacks a system library; in CI, as root, install it."""
    if not (missing := missing_libraries()):
        return
    apt = ["apt-get", "install", "--yes", "--no-install-recommends", *missing]
    if os.environ.get("CI") and os.geteuid() == 0 and shutil.which("apt-get"):
        step(f"Installing {', '.join(missing)}")
        if not run("apt-get", "update") and not run(*apt) and not missing_libraries():
            return
    raise SystemExit(
        f"System libraries are missing. On Debian and Ubuntu they come with: sudo apt-get install {' '.join(missing)}"
    )


def missing_libraries() -> list[str]:
    """The Debian packages of libraries that cannot be loaded."""
    if not sys.platform.startswith("linux"):
        return []
    packages = []
    for library, package in LIBRARIES.items():
        try:
            ctypes.CDLL(library)
        except OSError:
            packages.append(package)
    return packages


def requirements(*extras: str, only: str = "") -> list[str]:
    """The pinned requirements of ``pyproject.toml``, with those of the extras; or ``only`` the pin of one package."""
    import tomllib  # here, so that an older Python comes as far as the message about its version

    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    pins = project["dependencies"] + [pin for extra in extras for pin in project["optional-dependencies"][extra]]
    return [pin for pin in pins if not only or pin.startswith(f"{only}==")]


def install(wanted: list[str]) -> None:
    """Make the virtual environment and install what it lacks; does nothing where all of it was installed before."""
    usable = PYTHON.exists()
    if usable and INSTALLED.exists() and set(wanted) <= set(json.loads(INSTALLED.read_text("utf-8"))):
        return
    if not usable:
        step(f"Making the virtual environment {VENV}")
        if run(sys.executable, "-m", "venv", "--clear", VENV):
            raise SystemExit(
                "Python's venv module does not work. On Debian and Ubuntu: sudo apt-get install python3-venv"
            )
    step(f"Installing {len(wanted)} pinned packages and what they need")
    INSTALLED.unlink(missing_ok=True)
    if run(PYTHON, "-m", "pip", "install", "--disable-pip-version-check", *wanted):
        raise SystemExit("The dependencies could not be installed; pip's message above says why.")
    INSTALLED.write_text(json.dumps(wanted, indent=0), "utf-8")


def fetch(*groups: str) -> int:
    step(f"Fetching data files: {', '.join(('engine', *groups))}")
    return run(PYTHON, "-m", "engine.assets", "engine", *groups)


def step(text: str) -> None:
    print(f"\n== {text}", flush=True)


def run(*command: str | Path) -> int:
    """Run a command in this folder, showing its output; returns its exit code."""
    return subprocess.run([str(word) for word in command], cwd=ROOT, check=False).returncode


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
