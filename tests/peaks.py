"""How much memory a reader takes at most, in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PRINT_PEAK = "print(next(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')))"


def peak(code: str, path: Path) -> tuple[int, str]:
    """Run ``code``, which finds the path in ``sys.argv[1]``, and catch what it raises.

    Returns:
        MiB at the peak, imports included; the message of what it raised, or nothing.
    """
    if sys.platform != "linux":
        pytest.skip("Only Linux keeps a process' peak where it can be read.")
    *imports, last = code.strip().splitlines()
    lines = ["import sys", "from pathlib import Path", *imports, "try:", f"    {last}"]
    lines += ["except Exception as error:", "    print(repr(str(error)))", PRINT_PEAK]
    script = "\n".join(lines)
    run = subprocess.run([sys.executable, "-c", script, path], capture_output=True, text=True, cwd=ROOT, check=True)
    *said, kibibytes = run.stdout.splitlines()
    return int(kibibytes) >> 10, "".join(said)
