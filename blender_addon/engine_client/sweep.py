"""Removes what the extension unpacked, once Blender has uninstalled it; run as a script by Blender's Python.

With the words EXTENSION_DIR LOCAL_DIR it waits for the extension's folder to vanish, for good and not just for an
update, then removes LOCAL_DIR, which Blender does not know of. It gives up after a minute, or when Blender ends and the
extension is still there.
"""

from __future__ import annotations

import os
import shutil
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

WAIT = 60  # seconds
SETTLE = 5  # seconds in which an update puts the new version in the old one's place


def sweep(extension_dir: Path, local_dir: Path, blender_ended: threading.Event) -> bool:
    """Whether the extension was uninstalled, and ``local_dir`` is gone for that."""
    gone = 0  # seconds
    for _ in range(WAIT):
        gone = 0 if extension_dir.exists() else gone + 1
        if gone > SETTLE or blender_ended.wait(1):
            break
    if extension_dir.exists():
        return False
    for _ in range(SETTLE):  # the engine's process may hold a file for a moment longer
        shutil.rmtree(local_dir, ignore_errors=True)
        if not local_dir.exists():
            break
        time.sleep(1)
    with suppress(OSError):  # another Blender's engine lies beside it
        local_dir.parent.rmdir()
    return not local_dir.exists()


def main() -> None:
    ended = threading.Event()

    def listen() -> None:
        while os.read(0, 4096):  # not sys.stdin, whose lock would hold up the end
            pass
        ended.set()

    threading.Thread(target=listen, daemon=True).start()
    sweep(Path(sys.argv[1]), Path(sys.argv[2]), ended)


if __name__ == "__main__":
    main()
