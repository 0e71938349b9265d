"""The Blender of tomorrow, played by today's: what the add-on does where Blender knows splats itself.

A stand-in gives point clouds the type that Blender 5.3 gives them, before the add-on is there, in a Blender of its own.
"""

import importlib
import json
import os
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

import bpy  # isort: skip

from .conftest import PACKAGE

STAND_IN = """
import importlib, json, sys
from types import SimpleNamespace
from unittest.mock import MagicMock
import bpy
import numpy as np
import addon_utils  # there once Blender is

package, avatar = sys.argv[1:]
kinds = [("POINT", "Point", ""), ("GAUSSIAN_SPLAT", "Gaussian Splat", "")]
bpy.types.PointCloud.type = bpy.props.EnumProperty(items=kinds)
bpy.ops.wm.read_factory_settings(use_empty=True)
assert addon_utils.enable(package, default_set=True) is not None
part = lambda name: importlib.import_module(f"{package}.{name}")
head = part("api").import_head(avatar)
error = part("errors").AddonError
cloud = head.splats.data
scene = bpy.context.scene
scene.camera = bpy.data.objects.new("Camera", bpy.data.cameras.new("Camera"))
try:
    part("api").render("//frame", over_scene=True)
except error as refusal:
    refused = str(refusal)
engine = SimpleNamespace(
    wait_ready=lambda: engine,
    put_head=lambda key, avatar: None,
    linear=lambda key: np.full((len(cloud.points), 4), 0.25, np.float32),
)
part("api").ENGINE = engine
own = part("rig.extract").extract(head)
bpy.ops.gaussian_heads.match_blender()
layout = MagicMock()
part("panels.preview").GAUSSIAN_HEADS_PT_preview.draw(SimpleNamespace(layout=layout), bpy.context)
json.dump(
    {
        "opacities": np.unique(part("rig.points").read_attribute(cloud, "radiance:base")[:, 3]).tolist(),
        "kept": part("rig.extract").extract(head) == own,
        "offered": [call.kwargs.get("depress") for call in layout.operator.call_args_list if "match" in call.args[0]],
        "type": cloud.type,
        "attributes": sorted(cloud.attributes.keys()),
        "rendered": not head.splats.hide_render,
        "drawn": head.splats.show_instancer_for_viewport,
        "drawn_by_us": scene.gaussian_heads.viewport.show_splats,
        "refused": refused,
    },
    sys.stdout,
)
print()
addon_utils.disable(package, default_set=True)
"""


@pytest.fixture(scope="module")
def tomorrow(avatar_path) -> dict:
    """What the add-on made of a head in a Blender that knows splats."""
    words = [sys.executable, "-c", STAND_IN, PACKAGE, str(avatar_path)]
    printed = subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True, env=os.environ).stdout
    return json.loads(next(line for line in printed.splitlines() if line.startswith("{")))


def test_splats_are_given_to_blender(tomorrow):
    assert tomorrow["type"] == "GAUSSIAN_SPLAT"
    assert {"position", "radiance:base"} <= set(tomorrow["attributes"])


def test_blender_draws_and_renders_them_and_the_add_on_does_not(tomorrow):
    assert tomorrow["rendered"] and tomorrow["drawn"] and not tomorrow["drawn_by_us"]
    assert tomorrow["refused"] == "This Blender renders Gaussian heads in the scene by itself. Use Render Image (F12)."


def test_what_blenders_light_does_to_a_head_can_be_made_up_for(tomorrow):
    assert tomorrow["opacities"] == [0.25] and tomorrow["kept"]
    assert tomorrow["offered"] == [True]


def test_the_blender_of_today_leaves_them_to_the_add_on(addon, avatar_path):
    head = importlib.import_module(f"{addon}.api").import_head(avatar_path)
    native = importlib.import_module(f"{addon}.compat").HAS_NATIVE_SPLATS
    assert native == ("type" in bpy.types.PointCloud.bl_rna.properties)
    assert head.splats.hide_render != native
    assert head.splats.show_instancer_for_viewport == native
    assert bpy.context.scene.gaussian_heads.viewport.show_splats != native


def test_actions_give_back_the_curves_that_were_put_into_them(addon):
    compat = importlib.import_module(f"{addon}.compat")
    action = bpy.data.actions.new("Both")
    for kind, path in (("OBJECT", "location"), ("KEY", "eval_time")):
        compat.new_channels(action, kind, kind.lower()).fcurves.new(path)
    assert {curve.data_path for curve in compat.all_curves(action)} == {"location", "eval_time"}


def test_an_image_format_is_set_and_given_back(addon):
    compat = importlib.import_module(f"{addon}.compat")
    settings = bpy.context.scene.render.image_settings
    names = ("file_format", "color_mode", "color_depth", "color_management")
    before = [getattr(settings, name) for name in names]
    with compat.kept_file_format(settings):
        compat.set_file_format(settings, "OPEN_EXR", "RGBA", "32")
        assert [getattr(settings, name) for name in names[:3]] == ["OPEN_EXR", "RGBA", "32"]
    assert [getattr(settings, name) for name in names] == before


def test_points_have_a_shader(addon):
    compat = importlib.import_module(f"{addon}.compat")
    compat.start_gpu()
    assert compat.point_shader().name


class FourNumbers:
    """An attribute of Blender 5.3, whose values are had as ``vector`` alone."""

    data_type = "FLOAT4"

    def __init__(self, count: int):
        self.values, self.data = np.zeros(4 * count, np.float32), self

    def __len__(self) -> int:
        return len(self.values) // 4

    def foreach_set(self, name, flat):
        assert name == "vector"
        self.values[:] = flat

    def foreach_get(self, name, flat):
        assert name == "vector"
        flat[:] = self.values


def test_radiance_is_read_and_written_as_the_blender_of_tomorrow_keeps_it(addon):
    compat, points = (importlib.import_module(f"{addon}.{name}") for name in ("compat", "rig.points"))
    assert compat.radiance_type(["FLOAT", "FLOAT_COLOR"]) == "FLOAT_COLOR"
    assert compat.radiance_type(["FLOAT", "FLOAT_COLOR", "FLOAT4"]) == "FLOAT4"
    assert compat.RADIANCE_TYPE in bpy.types.Attribute.bl_rna.properties["data_type"].enum_items
    cloud = SimpleNamespace(attributes={compat.RADIANCE: FourNumbers(3)})
    wanted = np.arange(12.0).reshape(3, 4)
    points.write_attribute(cloud, compat.RADIANCE, "FLOAT4", wanted)
    np.testing.assert_array_equal(points.read_attribute(cloud, compat.RADIANCE), wanted)
