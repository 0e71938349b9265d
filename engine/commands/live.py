"""``live``: a phone, a webcam or a clip as it comes; what it does can be recorded as a take."""

from __future__ import annotations

import argparse
import time
from contextlib import suppress
from pathlib import Path

from engine.commands.shared import add_json_option, check_output, say, show_result
from engine.errors import EngineError
from engine.live.filters import PARTS, Settings
from engine.live.session import Session, State
from engine.live.sources import sources
from engine.live.spec import LOOPBACK, Wish
from engine.performance import write_take
from engine.progress import Progress

OWN_SIGNALS = True  # Ctrl-C ends the recording, it does not throw it away
STEP = 0.1  # s


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--source", choices=list(sources()), required=True, help="what is listened to")
    parser.add_argument("--address", default=LOOPBACK, help="to listen on (default: loopback; 0.0.0.0: the network)")
    parser.add_argument("--port", type=int, default=0, help="to listen on (default: the source's own)")
    parser.add_argument("--target", default="", help="iFacialMocap: the phone's address; a camera's number; a clip")
    parser.add_argument("--record", type=Path, metavar="TAKE", help="take to write at the end (.csv)")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="to go on for (default: until Ctrl-C)")
    parser.add_argument("--parts", nargs="+", choices=list(PARTS), default=list(Settings.parts), help="what is taken")
    parser.add_argument("--gain", type=float, default=1.0, help="factor of the weights, 0 to 4 (default 1)")
    parser.add_argument("--smoothing", type=float, default=0.0, help="0 (as sent) to 1 (default 0)")
    parser.add_argument("--mirror", action="store_true", help="left for right")
    add_json_option(parser)


def run(options: argparse.Namespace, progress: Progress) -> None:
    if options.record:
        check_output(options.record, (".csv",))
    if not (0 <= options.smoothing <= 1 and 0 <= options.gain <= 4 and options.seconds > 0):  # nan is not, either
        raise EngineError("Smoothing goes from 0 to 1, gain from 0 to 4.", "Leave them out to take what is sent.")
    settings = Settings(tuple(options.parts), options.gain, options.smoothing, options.mirror)
    session = Session(Wish(options.source, options.address, options.port, options.target), settings)
    try:
        if options.record:
            session.record()
        state = _follow(session, options.seconds)
        if options.record:
            recorded = session.finish()
            take = recorded.take()
            write_take(take, options.record)
            say(f"{recorded.name}: {take.frames} samples at {take.rate:.3g} fps.")
    finally:
        session.close()
    show_result(options, vars(state), lambda: None)


def _follow(session: Session, seconds: float) -> State:
    """Show once a second how it is, until it ends."""
    began = shown = time.monotonic()
    with suppress(KeyboardInterrupt):
        while time.monotonic() - began < seconds and not session.state().ended:
            session.step(STEP)
            if time.monotonic() - shown >= 1:
                shown = time.monotonic()
                say(_sentence(session.state()))
    return session.state()


def _sentence(state: State) -> str:
    said = f"{state.fps} fps" if state.connected else "not connected"
    said += f", {state.dropped} dropped, {state.refused} refused"
    return f"{said}: {state.problem or state.ended}" if state.problem or state.ended else said
