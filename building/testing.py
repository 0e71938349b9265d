"""What ``build.py test`` runs: lanes that know nothing of each other, side by side, and where their time goes.

python3 -m building.testing LANE        one of them, where all that it needs is installed
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from xml.etree import ElementTree

from building import environments, shell
from building.environments import ENGINE
from building.shell import BUILD, Ended, step

REPORTS = BUILD / "tests"  # pytest's, one of a lane
SLOWEST = 10
AT_ONCE = 2
# Two processes of one thread each: most tests are Python, and threads of two processes would wait for each other.
SIDE_BY_SIDE = ("-n", "2", "--dist", "loadfile", "--no-loadscope-reorder")
# Kernels are compiled once, also for tests that give the engine an empty home.
ONE_THREAD = {"NUMBA_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "NUMBA_CACHE_DIR": str(REPORTS / "numba")}


@dataclass(frozen=True)
class Lane:
    """A part of the tests that can run on its own.

    Attributes:
        run: shows its output; whether all went well.
        why_not: why this machine cannot run it; empty where it can.
    """

    run: Callable[[], bool]
    why_not: Callable[[], str] = lambda: ""


def run_lanes(names: Sequence[str]) -> int:
    """Run lanes side by side and say what took how long; the exit code is 0 only where nothing failed."""
    reasons = {name: LANES[name].why_not() for name in names}
    for report in REPORTS.glob("*.xml"):
        report.unlink()
    step(f"{AT_ONCE} lanes at a time; each shows its output when it has ended")
    commands = {name: (sys.executable, "-m", "building.testing", name) for name in names if not reasons[name]}
    ended = shell.run_together(commands, AT_ONCE)
    step("Where the time went")
    print("\n".join(table(ended, REPORTS)), flush=True)
    for name in names:
        if reasons[name]:
            print(f"\nSKIPPED {name}: {reasons[name]}", file=sys.stderr)
    if failed := [name for name, end in ended.items() if end.code]:
        print(f"\nFailed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def run_lane(name: str) -> int:
    """Run one lane here; nothing is passed where it cannot run."""
    if reason := LANES[name].why_not():
        print(f"\nSKIPPED {name}: {reason}", file=sys.stderr)
        return 1
    return 0 if LANES[name].run() else 1


def table(ended: Mapping[str, Ended], reports: Path) -> list[str]:
    """Each lane's seconds and number of tests, and the slowest tests of all."""
    tests = {name: _durations(reports / f"{name}.xml") for name in ended}
    lines = [f"{end.seconds:8.0f} s  {name:<14}{len(tests[name]) or '':>6}" for name, end in ended.items()]
    slowest = sorted(((seconds, name, test) for name in tests for test, seconds in tests[name]), reverse=True)[:SLOWEST]
    return [*lines, "", *(f"{seconds:8.1f} s  {name:<14}{test}" for seconds, name, test in slowest)]


def _durations(report: Path) -> list[tuple[str, float]]:
    """The tests of a report with their seconds; none where it was not written."""
    if not report.exists():
        return []
    cases = ElementTree.parse(report).iter("testcase")
    return [(f"{case.get('classname')}::{case.get('name')}", float(case.get("time", 0))) for case in cases]


def checks() -> bool:
    commands = {
        "ruff check": (ENGINE.python, "-m", "ruff", "check", "."),
        "ruff format": (ENGINE.python, "-m", "ruff", "format", "--check", "."),
        "import contracts": (ENGINE.bin / "lint-imports", "--no-logo"),
        "pyright": (ENGINE.python, "-m", "pyright"),
    }
    passed = True
    for name, command in commands.items():
        step(name)
        passed = shell.run(*command) == 0 and passed
    return passed


def engine(*words: str, lane: str = "engine", threads: Mapping[str, str] | None = None) -> bool:
    """The tests of the engine and of building, with further words to pytest."""
    step("Default head")
    # Built, and compiled, once, not by each process.
    commands = (("-m", "engine.heads"), ("-c", "from engine.splatting import warm_up; warm_up()"))
    if any(shell.run(ENGINE.python, *command, environment=dict(threads or {})) for command in commands):
        return False
    others = [f"--ignore=tests/{folder}" for folder in ("addon", "gui", "viewers", "windows")]
    return _pytest(ENGINE.python, lane, *others, *words, environment=threads)


def blender_module(group: str) -> bool:
    """The add-on's tests in a Blender that comes as a Python module."""
    environment = environments.blender(group)
    return environment is not None and _pytest(environment.python, group, "tests/addon")


def no_python_of_blenders() -> str:
    return "" if environments.blender_python() else "Blender as a module needs Python 3.11."


def real_blender() -> bool:
    """An artist's way through a real Blender with the built zip."""
    from building.extension import package
    from tests.gui.real_blender import ROOT_VARIABLE, ZIP_VARIABLE, RealBlender

    step("Setting up a real Blender")
    blender = RealBlender(BUILD / "real-blender")
    blender.set_up()
    # The plain registry has PyTorch for Linux only with CUDA; without a GPU it runs on the CPU. So gsplat's kernels,
    # which take a minute to compile, stay out: nothing here could run them.
    archive = package("linux-x64", [blender.python()], "cuda", BUILD / "real-blender-zip")
    environment = {ROOT_VARIABLE: str(blender.root), ZIP_VARIABLE: str(archive)}
    return _pytest(ENGINE.python, "real-blender", "tests/gui", environment=environment)


def no_real_blender() -> str:
    from tests.gui.real_blender import why_not

    return why_not()


def windows() -> bool:
    """The add-on's tests, and an artist's day with the built zip, on Windows' own Python."""
    from building.extension import package
    from tests.windows.wine import ROOT_VARIABLE, ZIP_VARIABLE, WindowsPython

    step("Setting up Windows' Python under Wine")
    python = WindowsPython(BUILD / "windows")
    python.set_up()
    archive = package("windows-x64", ["3.11"], "cpu", BUILD / "windows-zip")
    environment = {ROOT_VARIABLE: str(python.root), ZIP_VARIABLE: str(archive)}
    return _pytest(ENGINE.python, "windows", "-rA", "tests/windows", environment=environment)


def no_windows() -> str:
    from tests.windows.wine import why_not

    return why_not()


def viewers() -> bool:
    """Our files in viewers that are not ours."""
    from tests.viewers.browser import Browser

    step("Setting up viewers")
    Browser(BUILD / "viewers").set_up()
    return _pytest(ENGINE.python, "viewers", "-rs", "tests/viewers")


def no_viewers() -> str:
    from tests.viewers.browser import why_not

    return why_not()


def _pytest(python: Path, lane: str, *words: str, environment: Mapping[str, str] | None = None) -> bool:
    step("pytest")
    report = f"--junitxml={REPORTS / lane}.xml"
    return shell.run(python, "-m", "pytest", report, *words, environment=dict(environment or {})) == 0


WHEN_NAMED = ("fast", "viewers")  # the whole takes its time without them; a browser takes all cores from a real Blender
# In the order in which they begin: those that take longest first, and not both with a window's patience at a time.
LANES = {
    "engine": Lane(partial(engine, *SIDE_BY_SIDE, threads=ONE_THREAD)),
    "checks": Lane(checks),
    "windows": Lane(windows, no_windows),
    "real-blender": Lane(real_blender, no_real_blender),
    "blender-45": Lane(partial(blender_module, "blender-45"), no_python_of_blenders),
    "blender-50": Lane(partial(blender_module, "blender-50"), no_python_of_blenders),
    "viewers": Lane(viewers, no_viewers),
    "fast": Lane(partial(engine, "-m", "not slow", *SIDE_BY_SIDE, lane="fast", threads=ONE_THREAD)),
}

if __name__ == "__main__":
    sys.exit(run_lane(sys.argv[1]))
