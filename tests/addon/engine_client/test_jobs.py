"""A reconstruction in the background: its progress, its end, and every way in which it can go wrong."""

import os
import time

import pytest

from ..waiting import KILLED, kill, wait_for


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "front.jpg"
    path.write_bytes(b"pixels")
    return path


def make_job(parts, engine, paths, parse=bytes.upper, **options):
    return parts.jobs.ReconstructionJob(engine, paths, "Ada / B", parts.messages.JobOptions(), parse, **options)


def test_progress_up_to_the_parsed_and_kept_avatar(parts, engine, settings, photo):
    job = make_job(parts, engine, [photo, photo.with_name("gone.jpg")])
    shown = [job.snapshot()]
    job.start()
    while not shown[-1].is_over:
        if (snapshot := job.snapshot()) is not shown[-1]:
            shown.append(snapshot)
        time.sleep(0.01)
    assert job.wait_done(1) == job.result == b"AVATAR"
    last = job.snapshot()
    assert (last.state, last.message, last.warnings) == ("done", "Made from 1 photo.", ("It is dark.",))
    assert [name for name, _ in last.set_aside] == ["gone.jpg"]
    fractions = [snapshot.fraction for snapshot in shown]
    assert fractions == sorted(fractions)
    assert fractions[0] == 0
    assert fractions[-1] == 1
    assert {"starting", "running", "done"} <= {snapshot.state for snapshot in shown}
    assert last.kept.read_bytes() == b"avatar"
    assert last.kept.parent == settings.user_dir / "heads"
    assert wait_for(lambda: engine.client._json("GET", "/seen")["forgotten"] == ["job0"])


def test_the_last_ten_avatars_stay(parts, tmp_path):
    for number in range(12):
        path = parts.jobs.keep_avatar(b"%d" % number, tmp_path, f"head{number}")
        os.utime(path, (number, number))
    kept = sorted(int(path.read_bytes()) for path in tmp_path.iterdir())
    assert kept == list(range(2, 12))


def test_cancelling_is_at_once_and_reaches_the_engine(parts, engine, photo, monkeypatch):
    monkeypatch.setenv("STUB", "slow")
    job = make_job(parts, engine, [photo])
    job.start()
    assert wait_for(lambda: job.snapshot().state == "running")
    job.cancel()
    assert job.snapshot().state == "cancelled"
    with pytest.raises(parts.errors.AddonError, match="Cancelled"):
        job.wait_done(0)
    assert wait_for(lambda: engine.client._json("GET", "/seen")["cancelled"] == ["job0"], 2)


def test_cancelled_while_the_engine_starts(parts, engine, photo, monkeypatch):
    monkeypatch.setenv("STUB", "silent")
    job = make_job(parts, engine, [photo])
    job.start()
    job.cancel()
    job.join(2)
    assert job.snapshot().state == "cancelled"


def test_the_engine_dies_and_the_next_job_starts_it_again(parts, engine, photo, monkeypatch):
    monkeypatch.setenv("STUB", "slow")
    job = make_job(parts, engine, [photo])
    job.start()
    assert wait_for(lambda: job.snapshot().state == "running")
    kill(engine.status.pid)
    with pytest.raises(parts.errors.AddonError, match=rf"stopped unexpectedly \({KILLED}") as raised:
        job.wait_done(10)
    assert "Try again" in raised.value.hint
    monkeypatch.delenv("STUB")
    again = make_job(parts, engine, [photo])
    again.start()
    assert again.wait_done(30) == b"AVATAR"


def test_an_avatar_that_cannot_be_read_fails_the_job_but_is_kept(parts, engine, photo):
    def parse(data):
        raise parts.errors.AddonError("The avatar is damaged.", "Copy it again.")

    job = make_job(parts, engine, [photo], parse)
    job.start()
    with pytest.raises(parts.errors.AddonError, match="damaged"):
        job.wait_done(30)
    assert job.snapshot().kept.exists()


def test_no_photo_is_left(parts, engine, photo):
    photo.unlink()
    job = make_job(parts, engine, [photo])
    job.start()
    with pytest.raises(parts.errors.AddonError, match=r"front\.jpg"):
        job.wait_done(10)
    assert engine.state == "stopped"


def test_an_old_file_that_cannot_be_deleted_does_not_fail_the_new_one(parts, tmp_path):
    for number in range(11):
        (tmp_path / f"stubborn{number}.npz").mkdir()  # unlink refuses folders, as Windows refuses open files
    path = parts.jobs.keep_avatar(b"new", tmp_path, "ada")
    assert path.read_bytes() == b"new"


def test_a_folder_that_is_a_file_is_told(parts, tmp_path):
    (tmp_path / "heads").write_text("")
    with pytest.raises(parts.errors.AddonError, match="cannot be written"):
        parts.jobs.keep_avatar(b"new", tmp_path / "heads", "ada")


def test_a_new_head_is_kept_whatever_the_dates_of_the_others(parts, tmp_path):
    jobs = parts.jobs
    for number in range(jobs.HEADS_KEPT):
        path = tmp_path / f"old-{number}.npz"
        path.touch()
        os.utime(path, (4e9, 4e9))  # a clock was wrong
    kept = [jobs.keep_avatar(str(number).encode(), tmp_path, "Ada") for number in range(3)]
    assert len(set(kept)) == 3
    assert kept[-1].read_bytes() == b"2"
    assert len(list(tmp_path.glob("*.npz"))) == jobs.HEADS_KEPT
