"""``python -m engine.assets [GROUP…]``: fetch the data files of these groups (default: engine) and say what came."""

from __future__ import annotations

import argparse
import sys
from typing import get_args

from engine import assets
from engine.assets.fetch import fetch
from engine.assets.pins import Group, packages
from engine.errors import EngineError
from engine.progress import Progress


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m engine.assets", description="Fetch pinned data files.")
    parser.add_argument("groups", nargs="*", default=["engine"], metavar="GROUP", help=", ".join(get_args(Group)))
    groups = parser.parse_args().groups
    if unknown := set(groups) - set(get_args(Group)):
        parser.error(f"no such group: {', '.join(sorted(unknown))}")
    try:
        fetched = fetch([p for p in packages() if p.group in groups], Progress(on_update=_show))
    except EngineError as error:
        print(f"\n{error}", file=sys.stderr)
        return error.exit_code
    print(f"\nData files are in {assets.root()} ({len(fetched)} packages fetched, the others were there).")
    return 0


def _show(stage: str, fraction: float) -> None:
    if sys.stdout.isatty():
        print("\n" if fraction == 0.0 else "\r", f" {stage} {fraction:4.0%}", sep="", end="", flush=True)
    elif fraction == 0.0:
        print(f"  {stage}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
