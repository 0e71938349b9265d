"""Files are written whole or not at all, in spite of virus scanners, and what went wrong comes with a way out."""

import errno
import importlib
import os

import pytest


@pytest.fixture
def files(addon):
    return importlib.import_module(f"{addon}.files")


@pytest.fixture
def failure(addon):
    return importlib.import_module(f"{addon}.errors").AddonError


def refusal(winerror: int) -> PermissionError:
    """As Windows says it."""
    error = PermissionError(errno.EACCES, "The file is used by another process")
    error.winerror = winerror
    return error


def refuse(monkeypatch, name: str, error: OSError, times: float) -> list:
    """Let a function of ``os`` fail at its first calls; returns a list that grows with every call."""
    works, calls = getattr(os, name), []

    def try_to(*words, **named):
        calls.append(words)
        if len(calls) <= times:
            raise error
        return works(*words, **named)

    monkeypatch.setattr(os, name, try_to)
    return calls


@pytest.mark.parametrize("winerror", [5, 32])
def test_what_a_virus_scanner_holds_for_a_moment_is_written_all_the_same(files, tmp_path, monkeypatch, winerror):
    path = tmp_path / "ada.npz"
    path.write_text("old")
    calls = refuse(monkeypatch, "replace", refusal(winerror), 3)
    with files.atomic_write(path) as temporary:
        temporary.write_text("new")
    assert len(calls) == 4
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_the_temporary_file_goes_too_when_it_is_held_for_a_moment(files, tmp_path, monkeypatch):
    calls = refuse(monkeypatch, "unlink", refusal(32), 2)
    writing = files.atomic_write(tmp_path / "ada.npz")
    writing.__enter__().write_text("half")
    assert not writing.__exit__(ValueError, ValueError("half"), None)
    assert len(calls) == 3
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("error", "hint"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "Free some space, or choose another folder."),
        (refusal(32), "Close the program that has it open, or choose another name."),
        (refusal(5), "Close the program that has it open, or choose another name."),
        (PermissionError(errno.EACCES, "Permission denied"), "Choose a folder that you may write to."),
        (OSError(errno.EROFS, "Read-only file system"), "Choose a folder that you may write to."),
        (OSError(errno.ENAMETOOLONG, "File name too long"), "Choose a shorter name, or a folder that is less deep."),
        (OSError(errno.EIO, "Input/output error"), "Choose another folder."),
    ],
)
def test_the_way_out_of_a_failed_write_fits_its_cause(files, failure, tmp_path, monkeypatch, error, hint):
    path = tmp_path / "ada.npz"
    path.write_text("old")
    monkeypatch.setattr(files, "PATIENCE", 0.1)
    refuse(monkeypatch, "replace", error, float("inf"))
    with pytest.raises(failure, match="ada.npz cannot be written into ") as raised, files.atomic_write(path) as new:
        new.write_text("new")
    assert raised.value.hint == hint
    assert error.strerror in raised.value.message
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_may_not_be_written_is_no_matter_of_space(files, failure, tmp_path, monkeypatch):
    """Windows says the same of it as of a file that is open elsewhere; but there is no such file."""
    monkeypatch.setattr(files, "PATIENCE", 0.1)
    refuse(monkeypatch, "replace", refusal(5), float("inf"))
    with pytest.raises(failure) as raised, files.atomic_write(tmp_path / "ada.npz") as new:
        new.write_text("new")
    assert raised.value.hint == "Choose a folder that you may write to."


@pytest.mark.parametrize(
    ("error", "hint"),
    [
        (FileNotFoundError(errno.ENOENT, "No such file or directory"), "Choose another file."),
        (refusal(32), "Close the program that has it open, and try again."),
        (PermissionError(errno.EPERM, "Not permitted"), "Allow yourself to read it, or use a copy in a folder of"),
        (OSError(errno.ENAMETOOLONG, "File name too long"), "Give it a shorter name, or move it to"),
    ],
)
def test_the_way_out_of_a_failed_read_fits_its_cause(files, tmp_path, error, hint):
    said = files.unreadable(tmp_path / "take.csv", error, "Choose another file.")
    assert said.message == f"take.csv cannot be read ({error.strerror})."
    assert said.hint.startswith(hint)


def test_the_newest_stay(files, tmp_path):
    for number in range(5):
        path = tmp_path / f"{number}.log"
        path.touch()
        os.utime(path, (number, number))
    files.keep_newest(tmp_path, "*.log", 2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["3.log", "4.log"]
