"""What phones and programs send live: sound packets for the fuzz, and what reads them."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

PACKETS = ("livelinkface", "ifacialmocap", "vmc", "facecap")


def packet_reader(name: str) -> Callable[[], Callable[[Path], object]]:
    """A decoder that also minds its promises: weights within 0..1, turns that are numbers, a name to be printed."""

    def reads() -> Callable[[Path], object]:
        module = importlib.import_module(f"engine.live.sources.{name}")

        def read(path: Path) -> None:
            decode = module.Decoder() if hasattr(module, "Decoder") else module.decode
            sample = decode(path.read_bytes(), 40.0)
            if sample is not None:
                assert sample.weights.shape == (52,) and ((sample.weights >= 0) & (sample.weights <= 1)).all()
                assert sample.turns.shape == (3, 3) and bool(np.isfinite(sample.turns).all())
                assert len(sample.name) <= 63 and sample.name.isprintable()

        return read

    return reads


def packets(name: str) -> Callable[[], list[tuple[str, bytes]]]:
    """A face as the source's apps send it."""

    def seeds() -> list[tuple[str, bytes]]:
        from engine.arkit import ARKIT_NAMES
        from tests.engine.live import senders

        weights = {name: place / 64 for place, name in enumerate(ARKIT_NAMES)}
        turns = np.full((3, 3), 0.1)
        cap = senders.face_cap(weights, turns)
        made = {
            "livelinkface": [senders.live_link(weights, turns)],
            "ifacialmocap": [senders.ifacialmocap(weights, turns), senders.ifacialmocap(weights, turns, "&")],
            "vmc": [senders.vmc(weights, {"Head": (0.0, 0.6, 0.0, 0.8)})],
            "facecap": [senders.bundle(*cap), *(message.dgram for message in cap[::20])],
        }
        return [(".packet", packet) for packet in made[name]]

    return seeds
