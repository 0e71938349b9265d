"""Which of an avatar's Gaussians a measure is about, and what a camera sees of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from engine.avatar import Avatar, drive
from engine.gaussians.gaussians import PARTS, at_anchors
from engine.heads.parametric import MOUTH_INSIDE
from engine.rendering import Camera, render

FOLD = 0.002  # m that a blink moves the skin, from which it is a lid
CHEEK_HALF, CHEEK_DEPTH = 0.06, 60  # m from the middle; percentile of depth from which the face's skin is cheek
UPPER_STILL = 0.001  # m that jawOpen moves the upper teeth at most


@dataclass(frozen=True)
class Marks:
    """[N] bool each: Gaussians of the mesh's surface on lids, on cheeks, on the face's plain skin but lids, on the
    upper teeth, on the tongue and on anything of the mouth's inside; position [N, 3] metres on the neutral mesh,
    offsets left out."""

    lids: np.ndarray
    cheeks: np.ndarray
    skin: np.ndarray
    upper_teeth: np.ndarray
    tongue: np.ndarray
    mouth: np.ndarray
    position: np.ndarray


def key(avatar: Avatar, *names: str) -> np.ndarray:
    """[V] metres, how far the named keys move each vertex together."""
    return np.linalg.norm(np.sum([avatar.key_deltas[avatar.key_names.index(n)] for n in names], axis=0), axis=1)


def on_region(avatar: Avatar, *regions: str) -> np.ndarray:
    """[F] bool: triangles whose corners all lie in one of the regions; regions that the head lacks are empty."""
    return np.any([avatar.region(name)[avatar.faces].all(axis=1) for name in regions], axis=0)


def mark(avatar: Avatar) -> Marks:
    """Find the parts that the measures speak of, by region and by what the keys move."""
    blink = key(avatar, "eyeBlinkLeft", "eyeBlinkRight")[avatar.faces].mean(axis=1)
    lid = (blink > FOLD) & on_region(avatar, "face", "lids")
    skin = on_region(avatar, "face") & ~on_region(avatar, "lips", "brows") & ~lid
    middle = avatar.vertices[avatar.faces].mean(axis=1)
    cheek = skin & (np.abs(middle[:, 0]) < CHEEK_HALF) & (middle[:, 2] > np.percentile(middle[:, 2], CHEEK_DEPTH))
    jaw = key(avatar, "jawOpen")[avatar.faces].max(axis=1)
    upper = on_region(avatar, "teeth") & (jaw < UPPER_STILL)
    g = avatar.gaussians
    triangles, surface = g.triangles.numpy(), (g.parts == PARTS.index("surface")).numpy()
    position = at_anchors(g, avatar.faces, avatar.vertices)

    def on(faces: np.ndarray) -> np.ndarray:
        return faces[triangles] & surface

    tongue, mouth = on_region(avatar, "tongue"), on_region(avatar, *MOUTH_INSIDE)
    return Marks(on(lid), on(cheek), on(skin), on(upper), on(tongue), on(mouth), position)


def shares(
    avatar: Avatar, expression: Mapping[str, float], camera: Camera, groups: Sequence[np.ndarray]
) -> list[np.ndarray]:
    """[H, W] 0..1 per group [N] bool: how much of each pixel shows Gaussians of that group. At most three groups."""
    colors = torch.zeros(len(avatar.gaussians), 3)
    for channel, group in enumerate(groups):
        colors[torch.from_numpy(group), channel] = 1
    rgb = render(replace(drive(avatar, expression), colors=colors), camera).rgb.numpy()
    return [rgb[..., channel] for channel in range(len(groups))]
