"""The neutral mesh follows the Gaussians: identity is in official UIKA's offsets, and skin, keys and joints need it."""

from __future__ import annotations

import igl
import numpy as np

from engine.heads.parametric import MOUTH_INSIDE, ParametricHead
from engine.models.official.texels import OnHead
from engine.models.surface.membrane import Membrane

SMOOTH = 0.003  # m, over which offsets are shape; what is finer stays with the Gaussians
FLAT = 1e-14  # m², twice the area of a triangle over which nothing can spread


def following_neutral(on_head: OnHead, offsets: np.ndarray, opacities: np.ndarray) -> np.ndarray:
    """[V, 3] metres, the mean head moved as the Gaussians lie off it.

    Eyeballs move as a whole, and so do teeth, tongue and the mouth's inside, with the lips before them: no
    Gaussian of the network's is on those.

    Args:
        offsets: [M, 3] metres from each texel of the mean head to its Gaussian. opacities: [M] 0..1, what they weigh.
    """
    head = on_head.head
    template = head.template.astype(np.float64)
    triangles, barycentrics = on_head.triangles.numpy(), on_head.barycentrics.numpy().astype(np.float64)
    solid = igl.doublearea(template, head.faces) > FLAT
    moved = Membrane(template, head.faces, solid).fit(triangles, barycentrics, offsets, opacities, SMOOTH)
    on_skin = np.zeros(len(template), bool)
    on_skin[head.faces[triangles]] = True
    inside = np.any([head.regions[name] for name in MOUTH_INSIDE], axis=0) & ~on_skin
    lips = head.regions["lips"] & on_skin
    if lips.any():
        moved[inside] = moved[lips].mean(axis=0)
    left = template[:, 0] > 0
    for side in (left, ~left):
        ball = head.regions["eyes"] & side
        if (ball & on_skin).any():
            moved[ball] = moved[ball & on_skin].mean(axis=0)
    return (template + moved).astype(np.float32)


def following_joints(head: ParametricHead, neutral: np.ndarray) -> np.ndarray:
    """[J, 3] metres. Neck, head and jaw turn where they do in the mean head, as the network was trained (arXiv
    2601.07603, driving: no identity); eyes about their own middles, wherever these are now."""
    mean, own = head.joint_regressor @ head.template, head.joint_regressor @ neutral
    eyes = np.array([name.startswith("eye") for name in head.joint_names])
    return np.where(eyes[:, None], own, mean).astype(np.float32)
