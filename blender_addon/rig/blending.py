"""Two sets of colours for one head: its own, and those that look like them where Blender blends in linear light.

Blender draws what is in :data:`~..compat.RADIANCE`. While that is the second set, the head's own stands beside it,
which is how one knows. Files and the engine get the head's own.
"""

from __future__ import annotations

import bpy
import numpy as np

from ..compat import RADIANCE, RADIANCE_TYPE
from ..errors import AddonError
from .heads import Head
from .points import SH_C0, read_attribute, write_attribute

OWN = "gs_own_radiance"  # [N, 3] radiance, of matched heads alone


def is_matched(head: Head) -> bool:
    """Whether a head's colours are those for linear light."""
    return OWN in head.splats.data.attributes


def match(head: Head, colors: np.ndarray) -> None:
    """Give a head colours for linear light.

    Args:
        colors: [N, 3] sRGB.

    Raises:
        AddonError: the head has another number of Gaussians, or such colours already.
    """
    cloud = head.splats.data
    if is_matched(head) or len(colors) != len(cloud.points):
        raise AddonError(f"{head.name} changed meanwhile.", "Match it again.")
    radiance = read_attribute(cloud, RADIANCE)
    write_attribute(cloud, OWN, "FLOAT_VECTOR", radiance[:, :3])
    radiance[:, :3] = (colors - 0.5) / SH_C0
    write_attribute(cloud, RADIANCE, RADIANCE_TYPE, radiance)
    cloud.update_tag()


def restore(head: Head) -> None:
    """Give a head its own colours back; does nothing to one that has them."""
    cloud = head.splats.data
    if is_matched(head):
        write_attribute(cloud, RADIANCE, RADIANCE_TYPE, own_radiance(cloud))
        cloud.attributes.remove(cloud.attributes[OWN])
        cloud.update_tag()


def own_radiance(cloud: bpy.types.PointCloud) -> np.ndarray:
    """[N, 4] radiance of a head's own colours, and opacities.

    Raises:
        KeyError: the point cloud has no colours.
    """
    radiance = read_attribute(cloud, RADIANCE)
    if OWN in cloud.attributes:
        radiance[:, :3] = read_attribute(cloud, OWN)
    return radiance
