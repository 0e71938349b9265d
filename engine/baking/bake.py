"""The head's mesh with the Gaussians' colours as its picture."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from scipy.ndimage import distance_transform_edt

from engine.avatar import Avatar, Pose, deform, drive
from engine.baking.cards import make_cards
from engine.baking.flatten import Unfolded, draw, flatten
from engine.baking.textured import TexturedHead, TexturedMesh
from engine.curves import smoothstep
from engine.gaussians.gaussians import PARTS
from engine.heads.atlas import Atlas, gather, make_atlas

SIZE = 2048  # texels a side
BLINK = ("eyeBlinkLeft", "eyeBlinkRight")
FOLDED = (0.0015, 0.004)  # m that skin moves with them, over which its colour becomes that of the closed lid
MARGIN = 0.6  # of the dark margin of an open lid that stays: closed, it is ten times as wide, but it is open mostly
REACH = 0.01  # of the atlas's side, what most Gaussians stay within
FAINT = 0.05  # alpha under which a texel has no colour of its own


def bake(avatar: Avatar, size: int = SIZE) -> TexturedHead:
    """The avatar as textured meshes: its own, and cards for what stands off it.

    Args:
        size: texels a side of every picture.
    """
    head, cards = bake_head(avatar, size), make_cards(avatar, size)
    return TexturedHead(avatar, (head,) if cards is None else (head, cards))


def bake_head(avatar: Avatar, size: int) -> TexturedMesh:
    """The avatar's own mesh, coloured by the Gaussians on its surface.

    Lids are mostly coloured as they are when closed: open, what they show then lies in a fold.
    """
    atlas = make_atlas(avatar.uv, avatar.uv_faces, size)
    layers = _layers(avatar, atlas)
    colors, alpha = _drawn(avatar, layers, Pose())
    folded = torch.from_numpy(smoothstep(_lid_travel(avatar), *FOLDED))[:, None]
    lids = gather(atlas, avatar.faces, folded)[..., 0].numpy() * (1 - MARGIN * alpha)
    shut_colors, shut_alpha = _drawn(avatar, layers, Pose(dict.fromkeys(BLINK, 1.0)))
    colors += lids[..., None] * (shut_colors - colors)
    alpha += lids * (shut_alpha - alpha)
    texture = fill(colors, alpha)
    chest, lashes = (_texels(atlas, avatar, name) for name in ("torso", "lashes"))
    texture[chest, 3] = (255 * alpha[chest]).round()  # it ends softly, below what the photos show
    texture[lashes, 3] = 0  # strips that carry the lashes, which are cards
    rows, columns = distance_transform_edt(~atlas.mask, return_distances=False, return_indices=True)
    texture[..., 3] = texture[rows, columns, 3]  # or seams would show as lines where a part ends softly
    return TexturedMesh(
        name="head",
        vertices=avatar.vertices,
        faces=avatar.faces,
        uv=avatar.uv,
        uv_faces=avatar.uv_faces,
        key_deltas=avatar.key_deltas,
        skin_weights=avatar.skin_weights,
        texture=texture,
        see_through=bool(chest.any() or lashes.any()),
    )


def _layers(avatar: Avatar, atlas: Atlas) -> list[tuple[torch.Tensor, np.ndarray]]:
    """What is drawn at once: Gaussians [N] bool on islands that lie apart, and the texels [S, S] bool of these."""
    islands = Unfolded(avatar.vertices, avatar.faces, avatar.uv, avatar.uv_faces).islands()
    own_island = torch.from_numpy(islands)[avatar.gaussians.triangles]
    near = avatar.gaussians.parts == PARTS.index("surface")
    texels = np.where(atlas.mask, islands[atlas.triangle], -1)
    groups = _apart(avatar.uv[avatar.uv_faces], islands)
    return [(near & torch.isin(own_island, torch.from_numpy(group)), np.isin(texels, group)) for group in groups]


def _drawn(
    avatar: Avatar, layers: Sequence[tuple[torch.Tensor, np.ndarray]], pose: Pose
) -> tuple[np.ndarray, np.ndarray]:
    """Colours [S, S, 3] premultiplied by alpha [S, S], under a pose; nothing where no triangle is."""
    size = len(layers[0][1])
    expression = np.array([pose.expression.get(name, 0.0) for name in avatar.key_names])
    vertices = deform(avatar, expression, np.zeros((len(avatar.joint_names), 3))).numpy()
    mesh = Unfolded(vertices, avatar.faces, avatar.uv, avatar.uv_faces)
    flat = flatten(drive(avatar, pose.expression), avatar.gaussians, mesh, size)
    colors, alpha = np.zeros((size, size, 3), np.float32), np.zeros((size, size), np.float32)
    for shown, here in layers:
        drawn, covered = draw(flat, size, shown)
        colors[here], alpha[here] = drawn[here], covered[here]
    return colors, alpha


def _lid_travel(avatar: Avatar) -> np.ndarray:
    """[V] m that a vertex of the lids moves when they close."""
    lids = avatar.key_deltas[[avatar.key_names.index(name) for name in BLINK]]
    return np.sqrt((lids**2).sum(axis=2).max(axis=0))


def _texels(atlas: Atlas, avatar: Avatar, region: str) -> np.ndarray:
    """[S, S] bool: the texels of faces that touch a region, which the head model may lack."""
    touched = np.logical_or.reduce(avatar.region(region)[avatar.faces], axis=1)
    return atlas.mask & touched[atlas.triangle]


def fill(colors: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """[S, S, 4] uint8: straight colours, carried on from the nearest texel to where there are none, beyond seams too:
    no background shows where a picture is made smaller. Alpha is 255.

    Args:
        colors: [S, S, 3] premultiplied by alpha [S, S].
    """
    known = alpha > FAINT
    straight = (colors / np.where(known, alpha, 1.0)[..., None]).clip(0, 1)
    rows, columns = distance_transform_edt(~known, return_distances=False, return_indices=True)
    texture = np.full((*alpha.shape, 4), 255, np.uint8)
    texture[..., :3] = (255 * straight[rows, columns]).round()
    return texture


def _apart(corners: np.ndarray, islands: np.ndarray) -> list[np.ndarray]:
    """Islands in groups whose boxes lie apart, so that no Gaussian of one reaches into another of its group.

    Args:
        corners: [F, 3, 2] of the triangles in the atlas. islands: [F] of which each is part.
    """
    count = islands.max() + 1
    low, high = np.full((count, 2), np.inf), np.full((count, 2), -np.inf)
    np.minimum.at(low, islands, corners.min(axis=1))
    np.maximum.at(high, islands, corners.max(axis=1))
    low, high = low - REACH, high + REACH
    groups: list[list[int]] = []
    for island in np.argsort(-(high - low).prod(axis=1)):
        for group in groups:
            meets = (low[group] < high[island]).all(axis=1) & (low[island] < high[group]).all(axis=1)
            if not meets.any():
                group.append(int(island))
                break
        else:
            groups.append([int(island)])
    return [np.array(group) for group in groups]
