"""The add-on comes and goes without a trace."""

import gc
import importlib
import sys
import threading

import bpy
import pytest

from .waiting import STUB, STUB_PYTHON, is_alive, wait_for

HANDLERS = [name for name in dir(bpy.app.handlers) if isinstance(getattr(bpy.app.handlers, name), list)]
MENUS = ("TOPBAR_MT_file_import", "TOPBAR_MT_file_export", "VIEW3D_MT_object", "VIEW3D_MT_add", "TOPBAR_MT_render")
KINDS = (bpy.types.Scene, bpy.types.Object, bpy.types.WindowManager, bpy.types.Mesh, bpy.types.PointCloud)


def traces():
    """All that an add-on can leave in Blender, by name."""
    keymaps = bpy.context.window_manager.keyconfigs.addon.keymaps if bpy.context.window_manager.keyconfigs.addon else []
    classes = {name for name in dir(bpy.types) if "gaussian" in name.lower()}
    for kind in (bpy.types.Operator, bpy.types.Panel, bpy.types.Menu, bpy.types.UIList, bpy.types.PropertyGroup):
        classes |= {cls.__name__ for cls in kind.__subclasses__() if cls.is_registered and "gaussian" in cls.__module__}
    found = {
        "classes": classes,
        "operators": {name for name in dir(bpy.ops) if "gaussian" in name},
        "properties": {(kind.__name__, name) for kind in KINDS for name in kind.bl_rna.properties.keys()},
        "handlers": {(name, str(handler)) for name in HANDLERS for handler in getattr(bpy.app.handlers, name)},
        "threads": {thread.name for thread in threading.enumerate()},
        "keymaps": {(keymap.name, item.idname) for keymap in keymaps for item in keymap.keymap_items},
        "menus": {
            (name, str(draw))
            for name in MENUS
            if hasattr(bpy.types, name)
            for draw in getattr(getattr(bpy.types, name).draw, "_draw_funcs", ())
        },
    }
    return found


def timers(addon):
    """Our functions that a timer calls."""
    modules = [module for name, module in sys.modules.items() if name.startswith(addon)]
    functions = {value for module in modules for value in vars(module).values() if callable(value)}
    return {str(function) for function in functions if is_timer(function)}


def is_timer(function):
    try:
        return bpy.app.timers.is_registered(function)
    except (TypeError, ValueError):
        return False


@pytest.fixture
def before():
    import addon_utils

    bpy.ops.wm.read_factory_settings(use_empty=True)
    addon_utils.disable("bl_ext.user_default.gaussian_heads", default_set=True)
    return traces()


def test_scenes_get_their_settings(addon):
    assert bpy.context.scene.gaussian_heads.reconstruct.quality == "STANDARD"


def test_it_leaves_nothing_behind_even_in_the_middle_of_work(before, addon, tmp_path, monkeypatch):
    import addon_utils

    assert traces() != before
    part = {name: importlib.import_module(f"{addon}.{name}") for name in ("preferences", "tasks.reconstruction")}
    preferences, reconstruction = part.values()
    engine = importlib.import_module(f"{addon}.engine_client.engine").ENGINE
    photo_files = importlib.import_module(f"{addon}.tasks.photo_files")
    messages = importlib.import_module(f"{addon}.engine_client.messages")
    monkeypatch.setenv("STUB", "slow")
    monkeypatch.setattr(preferences, "EXTENSION_DIR", STUB)
    monkeypatch.setattr(preferences, "user_dir", lambda: tmp_path / "user")
    bpy.context.preferences.addons[addon].preferences.engine_python = str(STUB_PYTHON)
    photo = tmp_path / "front.png"
    photo.write_bytes(b"a face")
    bpy.ops.gaussian_heads.add_photos(filepath=str(photo))
    request = reconstruction.Request((photo_files.PhotoFile(photo),), "Ada", messages.JobOptions())
    reconstruction.start(bpy.context, request)
    job = reconstruction.current().job
    assert wait_for(lambda: job.snapshot().state == "running")
    assert timers(addon)
    pid = engine.status.pid

    addon_utils.disable(addon, default_set=True)

    assert not is_alive(pid)
    assert job.snapshot().state == "cancelled"
    assert timers(addon) == set()
    gc.collect()
    after = traces()
    for kind, names in before.items():
        assert after[kind] == names, kind


def test_it_comes_again(addon):
    import addon_utils

    for _ in range(2):
        addon_utils.disable(addon, default_set=True)
        assert addon_utils.enable(addon, default_set=True) is not None
    assert bpy.ops.gaussian_heads.add_photos.poll()


def test_no_registered_class_derives_from_another_one(addon):
    """Blender forgets the base when the second is registered, and draws nothing of it from then on."""
    ours = [
        value
        for name, module in sys.modules.items()
        if name.startswith(addon)
        for value in vars(module).values()
        if isinstance(value, type) and getattr(value, "is_registered", False) and value.__module__.startswith(addon)
    ]
    assert len(ours) > 50
    derived = [(cls, base) for cls in ours for base in cls.__mro__[1:] if base in ours]
    assert not derived
