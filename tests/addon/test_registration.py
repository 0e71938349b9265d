"""The add-on comes and goes without a trace."""

import bpy


def test_scenes_get_their_settings(addon):
    assert bpy.context.scene.gaussian_heads.reconstruct.refine_seconds == 10
