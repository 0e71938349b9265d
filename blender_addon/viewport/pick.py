"""Finds the heads whose splats lie under the mouse, or inside a box, a lasso or a circle."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import bpy
import numpy as np
from bpy_extras.view3d_utils import region_2d_to_origin_3d, region_2d_to_vector_3d
from mathutils import Vector

from ..rig.heads import Head
from ..tasks.changes import CHANGES
from .draw import DRAWING

SOLID = 0.5  # alpha from which a pixel belongs to a head
AROUND = 12.0  # px within which Gaussians' centres tell whose pixel it is
DEEP = 0.03  # m, the same along the view


@dataclass(frozen=True)
class Hit:
    """A head, and how far its splats are along the view."""

    head: Head
    metres: float


def head_at(context: bpy.types.Context, x: int, y: int) -> Hit | None:
    """The head that shows at a pixel of the context's viewport; None where none does, or a surface is before it.

    Args:
        x, y: from the region's lower left corner.
    """
    alpha, metres = DRAWING.pixel(context, x, y)
    if alpha < SOLID:
        return None
    best, most = None, 0
    for head, pixels, depths in _projected(context):
        votes = np.count_nonzero((np.linalg.norm(pixels - (x, y), axis=1) < AROUND) & (np.abs(depths - metres) < DEEP))
        if votes > most:
            best, most = head, votes
    return Hit(best, metres) if best is not None and not _surface_before(context, x, y, metres, best) else None


def heads_within(context: bpy.types.Context, inside: Callable[[np.ndarray], np.ndarray]) -> list[Head]:
    """The heads of which a Gaussian's centre lies inside a form, hidden ones behind others too, as in X-ray.

    Args:
        inside: from pixels [N, 2], as for :func:`head_at`, to [N] bool.
    """
    return [head for head, pixels, _ in _projected(context) if inside(pixels).any()]


def _surface_before(context: bpy.types.Context, x: int, y: int, metres: float, head: Head) -> bool:
    """Whether a mesh of the scene that is not the head's is nearer than this."""
    region, view = context.region, context.region_data
    origin, direction = (see(region, view, (x, y)) for see in (region_2d_to_origin_3d, region_2d_to_vector_3d))
    depsgraph = context.evaluated_depsgraph_get()
    hit, place, _, _, found, _ = context.scene.ray_cast(depsgraph, origin, direction)
    along = -(view.view_matrix @ Vector((*place, 1.0))).z if hit else 0.0
    return hit and along < metres and found.original not in head.parts


def _projected(context: bpy.types.Context) -> Iterator[tuple[Head, np.ndarray, np.ndarray]]:
    """Each head that the viewport shows, with the pixels [N, 2] and metres along the view [N] of its Gaussians."""
    view, window = (np.array(matrix) for matrix in (context.region_data.view_matrix, context.region_data.window_matrix))
    heads = {head.splats.session_uid: head for head in CHANGES.heads(context.scene)}
    depsgraph = context.evaluated_depsgraph_get()
    for uid, positions in DRAWING.positions(context).items():
        head = heads.get(uid)
        if head is None or not head.splats.visible_get(view_layer=context.view_layer, viewport=context.space_data):
            continue
        to_view = view @ np.array(head.splats.evaluated_get(depsgraph).matrix_world)
        seen = positions @ to_view[:3, :3].T + to_view[:3, 3]
        clip = seen @ window[:3, :3].T + window[:3, 3]
        w = seen @ window[3, :3] + window[3, 3]
        before = (w > 0) & (np.abs(clip[:, 2]) <= w)
        size = np.array((context.region.width, context.region.height))
        yield head, (clip[before, :2] / w[before, None] + 1.0) * size / 2.0, -seen[before, 2]
