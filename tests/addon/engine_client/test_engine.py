"""The engine comes when it is needed, says what ails it, comes again after its death, and leaves with Blender."""

import dataclasses
import importlib
import os
import re
import shutil
from pathlib import Path

import pytest

from ..waiting import KILLED, is_alive, kill, wait_for


def test_it_starts_by_itself_undisturbed_by_blenders_and_the_users_environment(engine, settings, monkeypatch, tmp_path):
    (tmp_path / "json.py").write_text("raise SystemExit('the wrong module')")
    monkeypatch.chdir(tmp_path)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.setenv("PYTHONHOME", "/nowhere")
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    for name in [name for name in os.environ if name.startswith("NUMBA")]:
        monkeypatch.delenv(name)

    assert engine.state == "stopped"
    client = engine.wait_ready(30)

    health = client.health()
    assert health["pid"] == engine.status.pid != os.getpid()
    assert engine.client is client
    assert health["environment"] == {
        "PYTHONPATH": str(settings.extension_dir),
        "PYTHONNOUSERSITE": "1",
        "PYTHONUTF8": "1",
        "NUMBA_CACHE_DIR": str(settings.local_dir / "cache" / "numba"),
    }
    assert engine.wait_ready(1) is client
    assert wait_for(engine.log_path.exists)


def test_two_blenders_have_an_engine_each(parts, engine, settings):
    other = parts.engine.Engine()
    other.configure(settings)
    first, second = engine.wait_ready(30), other.wait_ready(30)
    assert engine.status.pid != other.status.pid
    with pytest.raises(parts.messages.EngineRefusal, match="token"):
        parts.client.Client(second.url, first._token).health()
    pid = other.status.pid
    other.close()
    assert not is_alive(pid)
    assert first.health()["pid"] == engine.status.pid


def test_after_its_death_it_says_so_and_comes_again(engine):
    engine.wait_ready(30)
    pid = engine.status.pid
    kill(pid)
    assert wait_for(lambda: engine.state == "failed")
    assert f"stopped unexpectedly ({KILLED}" in engine.message
    assert engine.client is None
    assert engine.status.hint
    assert engine.wait_ready(30).health()["pid"] != pid


def test_killed_while_it_starts(engine, parts, monkeypatch):
    monkeypatch.setenv("STUB", "silent")
    spawned = []
    spawn = parts.process.Life._spawn
    monkeypatch.setattr(parts.process.Life, "_spawn", lambda *a: spawned.append(spawn(*a)) or spawned[-1])
    engine.start()
    assert wait_for(lambda: spawned)
    spawned[0].kill()
    assert wait_for(lambda: engine.state == "failed")
    assert KILLED in engine.message
    monkeypatch.delenv("STUB")
    assert engine.wait_ready(30).health()["version"] == "stub"


@pytest.mark.parametrize(
    ("mode", "sentence"),
    [
        ("crash", "exit code 1). Its last words: ImportError: a library is missing"),
        ("refuse", "A data file is missing. Install the extension again."),
    ],
)
def test_what_keeps_it_from_starting_is_said(engine, parts, monkeypatch, mode, sentence):
    monkeypatch.setenv("STUB", mode)
    with pytest.raises(parts.errors.AddonError) as raised:
        engine.wait_ready(30)
    assert sentence in str(raised.value)
    assert raised.value.hint
    assert engine.state == "failed"


def test_one_that_never_gets_ready_is_given_up(engine, parts, monkeypatch):
    monkeypatch.setenv("STUB", "silent")
    monkeypatch.setattr(parts.process, "PATIENCE_SECONDS", 0.5)
    with pytest.raises(parts.errors.AddonError, match="gave no sign"):
        engine.wait_ready(30)


def test_patience_follows_its_signs_and_a_librarys_words_do_no_harm(engine, parts, monkeypatch):
    """A virus scanner makes every import slow; torch prints a notice."""
    monkeypatch.setenv("STUB", "babble")
    engine.start()
    assert wait_for(lambda: "00 of its parts" in engine.message, 60)
    monkeypatch.setattr(parts.process, "PATIENCE_SECONDS", 1.0)  # the signs that are left take longer
    assert engine.wait_ready(30).health()["version"] == "stub"


def test_a_program_that_is_no_engine_is_quoted(engine, parts, settings, tmp_path):
    script = tmp_path / "engine.py"
    script.write_text("print('Dear Sir')")
    engine.configure(dataclasses.replace(settings, extension_dir=tmp_path))
    with pytest.raises(parts.errors.AddonError, match="is ready, but: Dear Sir"):
        engine.wait_ready(30)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (3221225477, "0xC0000005: it crashed"),
        (0xC0000135, r"0xC0000135: a library is missing; .*https://.*"),
        (-4, "signal 4: its processor is too old"),
        (-11, "signal 11: it crashed"),
        (3, "exit code 3"),
    ],
)
def test_an_exit_code_is_put_into_words(addon, code, words):
    assert re.fullmatch(words, importlib.import_module(f"{addon}.engine_client.system").ending(code))


@pytest.mark.parametrize("kind", ["missing", "no program", "another program"])
def test_a_wrong_python_is_named_or_noticed(engine, parts, settings, tmp_path, kind):
    python = tmp_path / "python"
    if kind == "no program":
        python.write_text("Dear Sir")
    elif kind == "another program":  # of those that every system has, and that end at once
        python = Path(shutil.which("true") or shutil.which("hostname"))
    engine.configure(dataclasses.replace(settings, python=python))
    with pytest.raises(parts.errors.AddonError) as raised:
        engine.wait_ready(30)
    said = ("exit code", "is ready, but") if kind == "another program" else (str(python),)
    assert any(words in str(raised.value) for words in said)
    engine.configure(settings)
    assert engine.state == "stopped"
    engine.wait_ready(30)


def test_stopping_is_at_once_and_restarting_gives_a_new_one(engine):
    engine.wait_ready(30)
    pid = engine.status.pid
    engine.restart()
    assert engine.state == "starting"
    engine.wait_ready(30)
    assert wait_for(lambda: not is_alive(pid))
    assert engine.status.pid != pid


def test_a_running_engine_is_used_by_its_url_and_token(parts, engine, settings):
    running = engine.wait_ready(30)
    guest = parts.engine.Engine()
    guest.configure(dataclasses.replace(settings, url=running.url, token="wrong"))
    with pytest.raises(parts.errors.AddonError, match="token"):
        guest.wait_ready(10)

    guest.configure(dataclasses.replace(settings, url=running.url, token=running._token))
    client = guest.wait_ready(10)
    assert client.health()["pid"] == engine.status.pid
    assert guest.status.pid is None

    engine.close()
    with pytest.raises(parts.messages.EngineLost) as lost:
        client.health()
    assert "does not answer" in guest.explain(lost.value, client).message
    assert guest.state == "failed"
    guest.close()


def test_other_computers_only_encrypted_and_only_online(parts, engine, settings):
    for url in (
        "http://render.farm:8000",
        "ftp://127.0.0.1",
        "127.0.0.1:8000",
        "http://127.0.0.1",
        "http://u@127.0.0.1:1",
    ):
        with pytest.raises(parts.errors.AddonError):
            parts.address.check_url(url)
    for url in ("http://127.0.0.1:8000/", "http://localhost:80", "http://[::1]:8000", "https://render.farm"):
        assert parts.address.check_url(url) == url.rstrip("/")
    engine.configure(dataclasses.replace(settings, url="https://render.farm:8000"))
    with pytest.raises(parts.errors.AddonError, match="Online Access"):
        engine.wait_ready(10)
