"""Running commands where a person watches."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
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


def run_together(commands: Mapping[str, Sequence[str | Path]]) -> dict[str, int]:
    """Run commands side by side, showing the output of each, under its name, when it has ended; their exit codes."""

    def one(name: str) -> int:
        words = [str(word) for word in commands[name]]
        ended = subprocess.run(words, cwd=ROOT, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        with showing:
            step(name)
            sys.stdout.buffer.write(ended.stdout)
            sys.stdout.flush()
        return ended.returncode

    showing = threading.Lock()
    with ThreadPoolExecutor(len(commands)) as pool:
        return dict(zip(commands, pool.map(one, commands), strict=True))
