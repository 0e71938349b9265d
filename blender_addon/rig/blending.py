"""Two sets of looks for one head: its own, and those that look like them where Blender blends in linear light.

Blender draws what is in :data:`~..compat.RADIANCE`. While that is the second set, the head's own stands beside it,
which is how one knows. Files and the engine get the head's own.
"""

from __future__ import annotations

import bpy
import numpy as np

from ..compat import RADIANCE
from ..errors import AddonError
from .heads import Head
from .points import SH_C0, read_attribute, write_attribute

OWN = "gs_own_radiance"  # like RADIANCE, of matched heads alone


def is_matched(head: Head) -> bool:
    """Whether a head's colours are those for linear light."""
    return OWN in head.splats.data.attributes


def match(head: Head, looks: np.ndarray) -> None:
    """Give a head colours and opacities for linear light.

    Args:
        looks: [N, 4] sRGB, and opacities.

    Raises:
        AddonError: the head has another number of Gaussians, or such colours already.
    """
    cloud = head.splats.data
    kind = cloud.attributes[RADIANCE].data_type  # of the Blender that made the head
    if is_matched(head) or len(looks) != len(cloud.points):
        raise AddonError(f"{head.name} changed meanwhile.", "Match it again.")
    write_attribute(cloud, OWN, kind, read_attribute(cloud, RADIANCE))
    radiance = np.concatenate(((looks[:, :3] - 0.5) / SH_C0, looks[:, 3:]), axis=1)
    write_attribute(cloud, RADIANCE, kind, radiance)
    cloud.update_tag()


def restore(head: Head) -> None:
    """Give a head its own colours back; does nothing to one that has them."""
    cloud = head.splats.data
    if is_matched(head):
        write_attribute(cloud, RADIANCE, cloud.attributes[RADIANCE].data_type, own_radiance(cloud))
        cloud.attributes.remove(cloud.attributes[OWN])
        cloud.update_tag()


def own_radiance(cloud: bpy.types.PointCloud) -> np.ndarray:
    """[N, 4] radiance of a head's own colours, and opacities.

    Raises:
        KeyError: the point cloud has no colours.
    """
    return read_attribute(cloud, OWN if OWN in cloud.attributes else RADIANCE)
