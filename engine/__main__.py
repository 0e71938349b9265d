"""``python -m engine``: see :mod:`engine.cli`."""

import signal
import sys


def run() -> int:
    """Import the commands, which takes a second, and run one.

    Ctrl-C ends the process without a word; only what would leave something behind listens to it itself.
    """
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from engine.cli import main

    return main()


if __name__ == "__main__":  # not in the processes that it starts
    sys.exit(run())
