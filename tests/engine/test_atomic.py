"""Files take their places in spite of virus scanners, and nothing half-written is ever left."""

import os
import stat
import subprocess
import sys
import threading

import pytest

from engine import atomic
from engine.atomic import atomic_write
from engine.errors import OutputError


class Held(PermissionError):
    """What Windows says while another program looks at a file."""

    winerror = 32


@pytest.fixture
def busy(monkeypatch):
    """Makes the next replacements fail as if the file were open elsewhere."""
    tries = []
    replace = os.replace
    monkeypatch.setattr(atomic, "PAUSE", 0)

    def be_busy(times: int, error: type[OSError] = Held) -> list:
        def busy_replace(source, target) -> None:
            tries.append(source)
            if len(tries) <= times:
                raise error(13, "Permission denied")
            replace(source, target)

        monkeypatch.setattr(atomic.os, "replace", busy_replace)
        return tries

    return be_busy


def test_a_file_that_a_scanner_holds_for_a_moment_is_written_all_the_same(busy, tmp_path):
    target = tmp_path / "head.npz"
    target.write_bytes(b"old")
    tries = busy(3)
    with atomic_write(target) as temporary:
        temporary.write_bytes(b"new")
    assert len(tries) == 4
    assert target.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("error", [Held, PermissionError])
def test_what_stays_held_or_forbidden_is_said_and_the_old_file_stays(busy, tmp_path, error):
    target = tmp_path / "head.npz"
    target.write_bytes(b"old")
    tries = busy(10**6, error)
    with pytest.raises(OutputError, match="may not be written") as caught, atomic_write(target) as temporary:
        temporary.write_bytes(b"new")
    assert "close programs that hold the file open" in caught.value.hint
    assert len(tries) == (atomic.TRIES + 1 if error is Held else 1)
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such files.")
def test_a_pipe_is_written_into_and_a_link_stays(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    said = []
    reader = threading.Thread(target=lambda: said.append((tmp_path / "pipe").read_bytes()))
    reader.start()
    with atomic_write(tmp_path / "pipe") as temporary:
        temporary.write_bytes(b"head")
    reader.join(10)
    assert said == [b"head"] and stat.S_ISFIFO(os.stat(tmp_path / "pipe").st_mode)

    (tmp_path / "shelf").mkdir()
    (tmp_path / "shelf" / "head.npz").write_bytes(b"old")
    (tmp_path / "head.npz").symlink_to("shelf/head.npz")
    with atomic_write(tmp_path / "head.npz") as temporary:
        temporary.write_bytes(b"new")
    assert (tmp_path / "head.npz").is_symlink()
    assert (tmp_path / "shelf" / "head.npz").read_bytes() == b"new"


def test_what_a_killed_process_left_is_removed_by_a_later_one(tmp_path):
    words = "import os, sys; from engine.atomic import atomic_write\nwith atomic_write(sys.argv[1]): os._exit(9)"
    subprocess.run([sys.executable, "-c", words, tmp_path / "head.npz"], check=False)
    (left,) = tmp_path.iterdir()
    with atomic_write(tmp_path / "head.npz") as temporary:
        temporary.write_bytes(b"new")
    assert left.exists()  # somebody may be writing it at this moment
    os.utime(left, (0, 0))
    with atomic_write(tmp_path / "head.npz") as temporary:
        temporary.write_bytes(b"newer")
    assert [path.name for path in tmp_path.iterdir()] == ["head.npz"]
