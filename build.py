"""The one door for machines: ``python3 build.py demo | test | looks | assets | architecture | lock | package``.

Needs Python 3.11 or newer, no more.
On Windows the word for it is ``py build.py …``.

demo     installs what is needed, fetches the data files and makes two heads from photos, into out/demo
test     the checks (ruff, pyright, import contracts) and the tests: the engine's, the add-on's in Blender as a module,
         and, where the machine can host them, the artist's in a real Blender and both on Windows' Python under Wine;
         with --fast, the checks and those of the engine's tests that take no seconds, in two minutes; with --lane, one
         of these parts, or our files in viewers that are not ours; further arguments go to pytest and leave only
         checks and the engine's tests
looks    makes heads of all people of a folder (of the samples, without one) and judges them, into out/looks
assets   only fetches the data files
architecture  draws the pictures in docs/architecture.md anew from the imports
lock     asks the package index anew for the files of all packages, into locks; for whoever changes a dependency
package  builds the Blender extension's zip, into dist

Everything lands in this folder: dependencies in .venv, data files in engine/assets/files, what can be made again in
build. A second run installs and fetches nothing anew.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from building import environments, locks, testing, wheels
from building.environments import BLENDER_LIBRARIES, ENGINE, check_libraries, pin, pins
from building.shell import ROOT, run, step
from engine import assets

DEMO = {
    "astronaut": ("samples/astronaut.png",),
    "person_a": ("samples/person_a_1.jpg", "samples/person_a_2.jpg"),
}


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(
        dest="command", required=True, metavar="demo | test | looks | assets | architecture | lock | package"
    )
    commands.add_parser("demo", help="two heads from photos, from a fresh clone")
    sub = commands.add_parser("test", help="all checks and tests; further arguments go to pytest")
    which = sub.add_mutually_exclusive_group()
    which.add_argument("--fast", action="store_true", help="only the checks and the engine's fast tests")
    which.add_argument("--lane", choices=testing.LANES, help="only one part of them")
    sub = commands.add_parser("looks", help="many people's heads, judged: a table, and a sheet of each")
    sub.add_argument("people", type=Path, nargs="?", help="every subfolder with photos, and every photo, is one person")
    sub = commands.add_parser("assets", help="fetch the data files")
    sub.add_argument("--samples", action="store_true", help="also the photos and clips of demo and tests")
    sub.add_argument("--clips", action="store_true", help="also the longer clips for evaluate (needs npm)")
    commands.add_parser("architecture", help="draw docs/architecture.md's pictures anew")
    commands.add_parser("lock", help="ask the package index anew which files the pinned packages and theirs have")
    sub = commands.add_parser("package", help="build the Blender extension's zip")
    here = environments.platform_name() if environments.platform_name() in wheels.PLATFORMS else None
    sub.add_argument("--platform", choices=sorted(wheels.PLATFORMS), default=here, required=here is None)
    sub.add_argument(
        "--python",
        action="append",
        choices=wheels.PYTHONS,
        help="Blender's Python, several times if wanted; default: 3.11 (for 4.2 to 5.0) and 3.13 (for 5.1 and newer)",
    )
    sub.add_argument("--accelerator", choices=("cpu", "cuda"), default="cpu")
    sub.add_argument("--output", type=Path, default=ROOT / "dist", metavar="FOLDER")
    options, rest = parser.parse_known_args(arguments)
    if rest and (options.command != "test" or options.fast or options.lane):
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    if sys.version_info < (3, 11):  # noqa: UP036 - whoever starts this file with an older Python shall be told
        raise SystemExit("Python 3.11 or newer is needed.")
    if options.command == "demo":
        return demo()
    if options.command == "test":
        return test(rest, options.fast, options.lane)
    if options.command == "looks":
        return looks(options.people)
    if options.command == "architecture":
        ENGINE.install(pins("engine", "dev", "package"))
        return run(ENGINE.python, "-m", "building.architecture")
    if options.command == "lock":
        return lock()
    if options.command == "package":
        from building import kernels  # here, for the sake of an older Python
        from building.extension import package

        ENGINE.install(pins("engine", "package"))
        compiled = kernels.compiled() if options.accelerator == "cuda" else None
        package(options.platform, options.python or ["3.11", "3.13"], options.accelerator, options.output, compiled)
        return 0
    ENGINE.install([pin("pip")])
    return fetch(*[group for group in ("samples", "clips") if getattr(options, group)])


def demo() -> int:
    """Make the demo's heads and print how long each stage took and how good the fit is."""
    ENGINE.install(pins("engine"))
    if code := fetch("samples"):
        return code
    folder = ROOT / "out" / "demo"
    folder.mkdir(parents=True, exist_ok=True)
    step("Building the default head (once, about half a minute)")
    if code := run(ENGINE.python, "-m", "engine.heads"):
        return code
    for name, photos in DEMO.items():
        step(f"Making {name} from {len(photos)} photo{'s' * (len(photos) > 1)}")
        head = folder / name
        outputs = {
            option: f"{head}{ending}"
            for option, ending in (("-o", ".npz"), ("--ply", ".ply"), ("--sheet", ".png"), ("--json", ".json"))
        }
        words = [word for pair in outputs.items() for word in pair]
        if code := run(ENGINE.python, "-m", "engine", "reconstruct", *map(assets.path, photos), *words):
            return code
    step("Done")
    for name in DEMO:
        print(summary(name, json.loads((folder / f"{name}.json").read_text("utf-8"))))
    print(f"The heads (.npz), splats (.ply) and contact sheets (.png) are in {folder}")
    return 0


def looks(people: Path | None) -> int:
    """Make a head of every person in a folder and judge them all: a table, and a sheet of each."""
    ENGINE.install(pins("engine"))
    if code := fetch("samples"):
        return code
    people, folder = people or assets.path("samples/astronaut.png").parent, ROOT / "out" / "looks"
    step(f"Making the heads of {people}")
    run(ENGINE.python, "-m", "engine", "batch", people, "-o", folder / "heads")  # those that fail are in its table
    heads = sorted((folder / "heads").glob("*.npz"))
    step(f"Judging {len(heads)} heads")
    words = ["--photos", people, "-o", folder / "sheets", "--json", folder / "looks.json"]
    return run(ENGINE.python, "-m", "engine", "evaluate", "--looks", *heads, *words)


def lock() -> int:
    """Make the lists of packages and their files anew, from what the package index has now."""
    ENGINE.install([pin("uv", "package")])
    local = locks.local_build(ENGINE.python, pin("torch"))
    groups = [group for group in environments.project()["optional-dependencies"] if not group.startswith("blender")]
    locks.write("engine", pins("engine", *groups), ENGINE.bin / "uv", "3.11", local)
    for group in ("blender-45", "blender-50"):
        locks.write(group, pins(group, "addon"), ENGINE.bin / "uv", "3.11", {}, one_python=True)
    return 0


def summary(name: str, report: dict) -> str:
    """A few lines of text from the JSON report of ``reconstruct``."""
    lines = [f"{name}: {report['gaussians']} Gaussians, {sum(report['seconds'].values()):.1f} s"]
    lines += [f"    {stage:<16}{seconds:8.1f} s" for stage, seconds in report["seconds"].items()]
    for photo in report["photos"]:
        lines.append(f"    {photo['name']:<24} landmarks {photo['landmark_px']:.2f} px, PSNR {photo['psnr']:.1f} dB")
    return "\n".join(lines) + "\n"


def test(arguments: list[str], fast: bool, lane: str | None) -> int:
    """Run all checks and tests, the fast ones, one lane, or the engine's with words for pytest.

    Returns:
        The exit code, 0 only where all of them passed.
    """
    ENGINE.install(pins("engine", "dev", "package"))
    if code := fetch("samples"):
        return code
    if fast:
        return testing.run_lanes(("checks", "fast"))
    if fetch("clips"):
        print("Tests that need these clips will be skipped.")
    if lane:
        return testing.run_lane(lane)
    if arguments:
        passed = testing.checks()
        return 0 if testing.engine(*arguments) and passed else 1
    check_libraries(BLENDER_LIBRARIES)
    for group in ("blender-45", "blender-50"):  # here, and the next too, since several lanes would get them at once
        environments.blender(group)
    wheels.installer()
    return testing.run_lanes([name for name in testing.LANES if name not in testing.WHEN_NAMED])


def fetch(*groups: str) -> int:
    step(f"Fetching data files: {', '.join(('engine', *groups))}")
    return run(ENGINE.python, "-m", "engine.assets", "engine", *groups)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
