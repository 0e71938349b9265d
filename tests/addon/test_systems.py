"""The panel offers the systems of the engine that runs, and never loses what was chosen."""

import ast
import importlib
import json
import os
import subprocess
import sys
from types import SimpleNamespace

import bpy
import pytest

from .engine import ask_engine
from .waiting import STUB, STUB_PYTHON

BUILT_IN = ["surface", "match", "ffavatar", "avat3r", "uika", "flexavatar"]
TOY = {"name": "toy", "label": "Toy", "description": "Draws a ball.", "network": False, "heads": None}
PICKY = {"name": "picky", "label": "Picky", "description": "Draws a face", "network": True, "heads": ["makehuman"]}

# The add-on's settings as they were when its systems were a fixed list.
FIRST_VERSION = """
import sys, bpy
systems = [(name, name, "") for name in sys.argv[3].split()]
class ReconstructSettings(bpy.types.PropertyGroup):
    system: bpy.props.EnumProperty(items=systems, default="surface")
class SceneSettings(bpy.types.PropertyGroup):
    reconstruct: bpy.props.PointerProperty(type=ReconstructSettings)
for kind in (ReconstructSettings, SceneSettings):
    bpy.utils.register_class(kind)
bpy.types.Scene.gaussian_heads = bpy.props.PointerProperty(type=SceneSettings)
bpy.context.scene.gaussian_heads.reconstruct.system = sys.argv[2]
bpy.ops.wm.save_as_mainfile(filepath=sys.argv[1])
"""


@pytest.fixture
def systems(addon):
    return importlib.import_module(f"{addon}.systems")


@pytest.fixture
def start(addon, tmp_path, monkeypatch):
    """Starts an engine that says this of its systems; returns the add-on's :class:`Engine`."""
    preferences = importlib.import_module(f"{addon}.preferences")
    engine = importlib.import_module(f"{addon}.engine_client.engine").ENGINE
    monkeypatch.setattr(preferences, "user_dir", lambda: tmp_path / "user")
    monkeypatch.setattr(preferences, "EXTENSION_DIR", STUB)
    bpy.context.preferences.addons[addon].preferences.engine_python = str(STUB_PYTHON)

    def start(**health):
        engine.stop()
        monkeypatch.setenv("STUB_HEALTH", json.dumps(health))
        engine.configure(preferences.engine_settings())
        engine.wait_ready(30)
        return engine

    yield start
    engine.close()


def settings():
    return bpy.context.scene.gaussian_heads.reconstruct


def menu() -> list[str]:
    """What can be chosen, as Blender says it when something else is."""
    with pytest.raises(TypeError) as refused:
        settings().system = "no such system"
    return ast.literal_eval("[" + str(refused.value).split(" not found in ")[1].strip("()") + "]")


def shown(name: str) -> SimpleNamespace:
    """How Blender shows a choice."""
    about = bpy.types.UILayout
    return SimpleNamespace(
        label=about.enum_item_name(settings(), "system", name),
        description=about.enum_item_description(settings(), "system", name),
        icon=about.enum_item_icon(settings(), "system", name),
    )


def save_and_open(path) -> None:
    bpy.ops.wm.save_as_mainfile(filepath=str(path))
    settings().system = "surface"
    bpy.ops.wm.open_mainfile(filepath=str(path))


def test_without_an_engine_the_built_in_ones_are_the_engines(systems):
    known = ask_engine("-c", "from engine.systems import systems; print(*systems())").split()
    assert menu() == BUILT_IN == known[: len(BUILT_IN)]  # an engine may have more, and says so once it runs
    assert settings().system == "surface"
    for name in BUILT_IN[1:]:
        assert "synthetic heads" in shown(name).description and "default head" in shown(name).description


def test_the_panel_shows_what_the_engine_says_once_it_runs(systems, start):
    engine = start(systems=["surface", "toy", "picky"], system_details=[PICKY, {"name": "surface"}, TOY, {"what": 1}])
    assert menu() == ["picky", "surface", "toy"]
    assert shown("toy").label == "Toy" and shown("toy").description == "Draws a ball"
    assert shown("surface").label == "Surface"
    settings().system = "toy"
    engine.stop()
    assert menu() == [*BUILT_IN, "toy"]


def test_an_engine_that_only_names_its_systems_is_understood(systems, start):
    start(systems=["surface", "uika", "toy"])
    assert menu() == ["surface", "uika", "toy"]
    assert shown("uika").label == "UIKA" and shown("toy").label == "toy"


def test_a_choice_outlives_its_engine_and_the_file(systems, start, tmp_path):
    engine = start(systems=["surface", "toy"])
    settings().system = "toy"
    engine.stop()
    assert settings().system == "toy" and "toy" in menu()
    assert "Not among the systems" in shown("toy").description and shown("toy").icon
    save_and_open(tmp_path / "toy.blend")
    assert settings().system == "toy"
    start(systems=["picky"], system_details=[PICKY])
    assert menu() == ["picky", "toy"]
    assert settings().system == "toy"
    obstacle = importlib.import_module(systems.__package__ + ".panels.reconstruct").obstacle
    assert "does not have the system toy. Choose picky" in obstacle(settings(), {"systems": ["picky"]})
    settings().system = "picky"
    assert menu() == ["picky"]


@pytest.mark.parametrize("name", BUILT_IN)
def test_files_of_the_first_version_keep_their_system(systems, start, tmp_path, name):
    path = tmp_path / "old.blend"
    words = [sys.executable, "-c", FIRST_VERSION, str(path), name, " ".join(BUILT_IN)]
    subprocess.run(words, check=True, env=os.environ | {"BLENDER_USER_RESOURCES": str(tmp_path)})
    bpy.ops.wm.open_mainfile(filepath=str(path))
    assert settings().system == name
    if name == BUILT_IN[-1]:  # once is enough: engines start slowly
        start(systems=["toy"])
        assert settings().system == name
        assert menu() == ["toy", *BUILT_IN]


def test_numbers_stay_with_their_names_and_pass_through_floats(systems):
    assert [systems.number(name) for name in BUILT_IN] == list(range(6))
    assert systems.number("toy") == 8890761  # in files of artists
    numbers = {systems.number(f"system-{k}") for k in range(100)}
    assert len(numbers) == 100
    assert all(6 <= number < 1 << 24 for number in numbers)


@pytest.mark.parametrize(
    "health",
    [
        {},
        {"systems": None},
        {"systems": "surface"},
        {"systems": [1, None, {}, [], "", " ", "a b", "a" * 64, "<b>", "sürface"]},
        {"systems": [], "system_details": {"name": "toy"}},
        {"system_details": ["toy", 1, None, {}, {"name": 1}, {"name": ""}, {"label": "Toy"}, [["name", "toy"]]]},
    ],
)
def test_nonsense_is_as_if_nothing_were_said(systems, health):
    assert systems.offered(health) == ()
    assert systems.known(health) == systems.BUILT_IN


def test_what_is_wrong_with_an_entry_is_left_out(systems):
    wrong = {"name": "toy", "label": "a" * 1000, "description": ["no"], "network": "yes", "heads": "makehuman"}
    (toy,) = systems.offered({"system_details": [wrong, TOY]})
    assert (toy.label, toy.description, toy.network, toy.heads) == ("toy", "A system of this engine", False, None)
    wrong = TOY | {"label": "Two\nlines", "description": "\x07", "heads": [1, "x"]}
    (toy,) = systems.offered({"system_details": [wrong]})
    assert (toy.label, toy.description, toy.heads) == ("Two lines", "A system of this engine", ("x",))
    many = [f"system-{k}" for k in range(100_000)]
    assert len(systems.offered({"systems": many, "system_details": [TOY, *({"name": name} for name in many)]})) == 64


def test_a_head_is_refused_by_systems_that_do_not_know_it_alone(systems, addon):
    error = importlib.import_module(f"{addon}.errors").AddonError
    health = {"system_details": [TOY, PICKY, TOY | {"name": "free", "heads": ["makehuman", "flame"]}]}
    for name, head in (("toy", "/flame.npz"), ("free", "/flame.npz"), ("free", "makehuman"), ("picky", "makehuman")):
        systems.require_head(name, head, health)
    systems.require_head("unheard-of", "/flame.npz", health)
    for name in ("picky", "uika"):
        with pytest.raises(error, match=f"{name} is a network that only knows the default head"):
            systems.require_head(name, "/flame.npz", health)


def test_what_blender_was_given_stays_alive(systems):
    first = systems.menu_items(systems.BUILT_IN, ("toy",))
    for k in range(300):
        systems.menu_items(systems.BUILT_IN, (f"toy{k}",))
    assert systems.menu_items(systems.BUILT_IN, ("toy",)) is first
