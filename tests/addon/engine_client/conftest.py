"""The engine client with an engine that only speaks the protocol."""

import importlib
import threading
from types import SimpleNamespace

import bpy  # noqa: F401  Blender's modules are there once it is imported
import pytest

from ..waiting import STUB, STUB_PYTHON, is_alive, wait_for


@pytest.fixture
def parts(addon):
    names = ("address", "client", "engine", "jobs", "messages", "process", "status")
    found = {name: importlib.import_module(f"{addon}.engine_client.{name}") for name in names}
    return SimpleNamespace(**found, errors=importlib.import_module(f"{addon}.errors"))


@pytest.fixture
def settings(parts, tmp_path):
    return parts.status.EngineSettings(STUB, tmp_path / "user", tmp_path / "local", python=STUB_PYTHON)


@pytest.fixture
def engine(parts, settings):
    """An engine of our own; nothing of it is left afterwards."""
    engine = parts.engine.Engine()
    engine.configure(settings)
    yield engine
    pid = engine.status.pid
    engine.close()
    assert pid is None or not is_alive(pid)
    assert wait_for(lambda: not [thread for thread in threading.enumerate() if "gaussian-heads" in thread.name])
