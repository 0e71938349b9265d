"""The engine sends nothing anywhere and writes nothing outside of its folders, whatever its libraries like to do."""

import os
import subprocess
import sys

import pytest

from tests.engine import silence

pytestmark = pytest.mark.slow


@pytest.mark.skipif(bool(silence.why_not()), reason=silence.why_not() or "-")
def test_an_engine_at_work_asks_for_no_name_reaches_nobody_and_leaves_nothing_behind(tmp_path):
    seen = silence.watch(0, tmp_path)
    assert (seen.lookups, seen.connections, seen.files) == ([], [], [])


@pytest.mark.skipif(bool(silence.why_not()), reason=silence.why_not() or "-")
def test_who_would_speak_is_noticed(tmp_path):
    speak = (
        "import socket, os\n"
        "try: socket.getaddrinfo('collector.example', 443)\n"
        "except OSError: pass\n"
        "try: socket.create_connection(('192.0.2.1', 443), timeout=1)\n"
        "except OSError: pass\n"
        "open(os.path.expanduser('~/.device-id'), 'w').close()\n"
    )
    log, home = tmp_path / "log", tmp_path / "home"
    home.mkdir()
    words = ["strace", "-f", "-y", "-e", f"trace={silence.CALLS}", "-o", log, sys.executable, "-c", speak]
    subprocess.run(["unshare", "--net", *words], env=os.environ | {"HOME": str(home)}, check=True)
    seen = silence.read(log.read_text(), (str(tmp_path / "allowed"),))
    assert seen.lookups
    assert any("192.0.2.1" in line for line in seen.connections)
    assert any(".device-id" in line for line in seen.files)
