"""A scripted phone: ``python -m tests.engine.live.phone PORT [--seconds S] [--rate FPS] [--log FILE]``.

Sends Live Link Face's packets to loopback: a face that talks, looks around and blinks; ``browInnerUp`` counts frames in
thousandths, so that whoever receives a sample knows which one it is. The log has a line for each: its number and
``time.monotonic()``, which all processes of a machine share.
"""

from __future__ import annotations

import argparse
import math
import time
from pathlib import Path

from tests.engine.live.senders import Sender, live_link

COUNTED = 1000


def face(number: int, rate: int) -> bytes:
    """The packet of one frame."""
    t = number / rate
    blink = max(0.0, 1 - abs(t % 3 - 1.5) / 0.1)
    weights = {
        "browInnerUp": number % COUNTED / COUNTED,
        "jawOpen": 0.25 + 0.25 * math.sin(7 * t),
        "mouthSmileLeft": 0.3 + 0.3 * math.sin(t),
        "mouthSmileRight": 0.3 + 0.3 * math.sin(t),
        "eyeBlinkLeft": blink,
        "eyeBlinkRight": blink,
    }
    turns = [[0.1 * math.sin(0.7 * t), 0.4 * math.sin(0.5 * t), 0.0], [0.0] * 3, [0.0] * 3]
    return live_link(weights, turns, frame=3_600_000 + number, rate=rate, name="Phone")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("port", type=int)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--rate", type=int, default=60)
    parser.add_argument("--log", type=Path, help="what was sent when (CSV)")
    options = parser.parse_args()
    phone, began, lines = Sender(options.port), time.monotonic(), []
    for number in range(round(options.seconds * options.rate)):
        time.sleep(max(began + number / options.rate - time.monotonic(), 0))
        packet = face(number, options.rate)
        lines.append(f"{number},{time.monotonic():.6f}\n")
        phone.send(packet)
    phone.close()
    if options.log:
        options.log.write_text("".join(lines))


if __name__ == "__main__":
    main()
