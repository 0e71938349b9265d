"""The engine panel's buttons."""

import pytest

import bpy  # isort: skip

from ..waiting import is_alive, wait_for


def test_start_restart_stop(stub, capfd):
    ops, engine = bpy.ops.gaussian_heads, stub.engine.ENGINE
    with pytest.raises(RuntimeError, match="not written a log yet"):
        ops.open_engine_log()
    assert not ops.stop_engine.poll()
    ops.start_engine()
    engine.wait_ready(30)
    first = engine.status.pid
    assert not ops.start_engine.poll()
    ops.restart_engine()
    engine.wait_ready(30)
    second = engine.status.pid
    assert second != first
    assert wait_for(engine.log_path.exists)
    assert ops.open_engine_log() == {"FINISHED"}
    assert str(engine.log_path) in capfd.readouterr().out
    ops.stop_engine()
    assert engine.state == "stopped"
    assert wait_for(lambda: not is_alive(first) and not is_alive(second))


def test_other_preferences_take_effect_at_once(stub, addon, tmp_path):
    engine = stub.engine.ENGINE
    preferences = bpy.context.preferences.addons[addon].preferences
    bpy.ops.gaussian_heads.start_engine()
    url = engine.wait_ready(30).url
    preferences.engine_python = str(tmp_path / "no python")
    assert engine.state == "stopped"
    bpy.ops.gaussian_heads.start_engine()
    assert wait_for(lambda: engine.state == "failed")
    assert str(tmp_path / "no python") in engine.message
    assert "preferences" in engine.status.hint
    preferences.engine_url, preferences.engine_token = url, "wrong"
    bpy.ops.gaussian_heads.start_engine()
    assert wait_for(lambda: engine.state == "failed")
