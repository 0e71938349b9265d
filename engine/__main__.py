"""``python -m engine``: see :mod:`engine.cli`."""

import signal
import sys


def run() -> int:
    """Import the commands, which takes a second, and run one; Ctrl-C before anything began ends it without a word."""
    before = signal.getsignal(signal.SIGINT)
    if before is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from engine.cli import main

    signal.signal(signal.SIGINT, before)
    return main()


if __name__ == "__main__":  # not in the processes that it starts
    sys.exit(run())
