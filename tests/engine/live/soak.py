"""Minutes of a live phone through the real server: ``python -m tests.engine.live.soak [--seconds 600]``.

Prints, for each minute, how late samples were (from the phone's sending to the answer of a client that always asks for
the newest one), how many came, and what the engine's processes weigh. Fails where lateness or memory grow.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from tests.engine.live.phone import COUNTED
from tests.engine.live.senders import free_port
from tests.engine.server.engines import running

GROWTH, LATER = 5e6, 0.02  # bytes and s, that the last part may have more than the first
MINUTE = 60.0
LOADING = 30.0  # s after which the engine has loaded what it loads beforehand


def soak(seconds: float) -> int:
    """Run it; the exit code."""
    port = free_port()
    with running() as engine, tempfile.TemporaryDirectory() as folder:
        time.sleep(LOADING)
        log = Path(folder, "sent.csv")
        assert engine.request("POST", "/live", json={"source": "livelinkface", "port": port}).status_code == 200
        words = [sys.executable, "-m", "tests.engine.live.phone", str(port), "--seconds", str(seconds)]
        phone = subprocess.Popen([*words, "--log", str(log)])
        came, weights, sequence = [], [], 0
        weighed = time.monotonic() + 5  # once everything is loaded
        while phone.poll() is None:
            now = engine.get(f"/live?after={sequence}&seconds=1")
            if now["sequence"] > sequence:
                came.append((round(now["weights"]["browInnerUp"] * COUNTED), time.monotonic()))
                sequence = now["sequence"]
            if time.monotonic() > weighed:
                weights.append(sum(psutil.Process(pid).memory_info().rss for pid in engine.processes()))
                weighed += 5
        last = engine.get("/live")
        sent = [float(line.split(",")[1]) for line in log.read_text().splitlines()]
    late = _lateness(sent, came)
    for minute in range(int(seconds // MINUTE) or 1):
        part = [each for at, each in late if minute <= (at - sent[0]) / MINUTE < minute + 1]
        print(f"minute {minute + 1}: {len(part)} samples, median {1e3 * statistics.median(part):.1f} ms late")
    fifth = max(len(late) // 5, 1)
    first, end = (statistics.median(each for _, each in part) for part in (late[:fifth], late[-fifth:]))
    grown = weights[-1] - weights[0]
    print(f"{len(sent)} sent, {len(late)} seen, {last['dropped']} dropped, {last['refused']} refused")
    print(f"first fifth {1e3 * first:.1f} ms, last {1e3 * end:.1f} ms")
    print(f"{weights[0] / 1e6:.1f} MB, {grown / 1e6:+.1f} MB")
    return 1 if end - first > LATER or grown > GROWTH or last["dropped"] or last["refused"] else 0


def _lateness(sent: list[float], came: list[tuple[int, float]]) -> list[tuple[float, float]]:
    """When a sample came, and how long after it was sent; samples only know their number's last three digits."""
    found, turn = [], 0
    for number, at in came:
        while turn + number < len(sent) and at - sent[turn + number] > COUNTED / 120:
            turn += COUNTED
        if turn + number < len(sent):
            found.append((at, at - sent[turn + number]))
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=600.0)
    sys.exit(soak(parser.parse_args().seconds))
