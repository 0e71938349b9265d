"""Running commands where a person watches."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BUILD = ROOT / "build"  # everything that can be made again, but the engine's environment and data files


def step(text: str) -> None:
    print(f"\n== {text}", flush=True)


def run(*command: str | Path, environment: dict[str, str] | None = None) -> int:
    """Run a command in the repository, showing its output; returns its exit code.

    ``environment`` is added to this process's own.
    """
    variables = None if environment is None else os.environ | environment
    return subprocess.run([str(word) for word in command], cwd=ROOT, env=variables, check=False).returncode
