"""One random person: mesh, texture, hair; and how they move."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from engine.heads.lbs import joint_transforms
from engine.heads.lids import meeting_lids
from engine.heads.portrait import vertex_normals
from engine.kernels import njit
from engine.synthetic.canvas import RESOLUTION, Canvas, canvas
from engine.synthetic.hair import Hair, grow, scalp_density
from engine.synthetic.skin import paint
from engine.synthetic.traits import Traits, random_traits

SPREAD = 0.9  # standard deviations: the basis was fitted to wilder combinations than people are (ours)
STRONGEST = 2.3  # standard deviations of any identity coefficient


@dataclass(frozen=True)
class Person:
    """A person at rest.

    Attributes:
        traits: what they look like. identity: [I] float64 standard deviations of the head's basis.
        neutral: [V, 3] float32 metres. keys: [E, V, 3] float32 metres at weight 1. joints: [J, 3] float32 metres.
        texture: [R, R, 6] float32: albedo in linear light, the relief's slope per texel to the right and down in
            metres, gloss. Row 0 is v = 1.
        hair: ribbons that grow on the head.
        sheet: the template's texels.
    """

    traits: Traits
    identity: np.ndarray
    neutral: np.ndarray
    keys: np.ndarray
    joints: np.ndarray
    texture: np.ndarray
    hair: Hair
    sheet: Canvas

    @property
    def faces(self) -> np.ndarray:
        """[T, 3] int32 triangles of :class:`Posed` vertices: the head's seen ones, the sleeves', the hair's."""
        head, sleeves = self.sheet.head, self.sheet.sleeves
        arms = sleeves.faces + len(head.template)
        hair = self.hair.faces + len(head.template) + len(sleeves.source)
        return np.concatenate([head.faces[self.sheet.seen], arms, hair])


@dataclass(frozen=True)
class Posed:
    """A person under an expression and a pose: V vertices of the head first, then the sleeves' K, then the hair's H.

    vertices, normals: [V + K + H, 3] float32, world space. tangents: [H, 3] float32.
    """

    vertices: np.ndarray
    normals: np.ndarray
    tangents: np.ndarray


def make_person(seed: int) -> Person:
    """Identity ``seed``: the same person in every process.

    Raises:
        AssetError: the default head's data have not been fetched.
    """
    sheet = canvas()
    head = sheet.head
    shape, look, strands = (np.random.default_rng([seed, stream]) for stream in range(3))
    identity = np.clip(shape.normal(0, SPREAD, len(head.identity_basis)), -STRONGEST, STRONGEST)
    # einsum sums in one order, unlike a matrix product, whose threads may share it out differently
    neutral = head.template + np.einsum("i,ivc->vc", identity.astype(np.float32), head.identity_basis)
    joints = np.einsum("jv,vc->jc", head.joint_regressor, neutral)
    traits = random_traits(look)
    density = scalp_density(sheet, traits, strands)
    painted = paint(sheet, traits, density, look)
    height = painted.height[sheet.fill]
    texture = np.empty((RESOLUTION, RESOLUTION, 6), np.float32)
    texture[..., :3] = painted.albedo[sheet.fill]
    texture[..., 3], texture[..., 4] = np.gradient(height, axis=1), np.gradient(height, axis=0)
    texture[..., 5] = painted.gloss[sheet.fill]
    hair = grow(sheet, traits, density, neutral, vertex_normals(neutral, head.faces), strands)
    return Person(traits, identity, neutral, meeting_lids(head, neutral), joints, texture, hair, sheet)


def pose(person: Person, expression: np.ndarray, joint_rotations: np.ndarray) -> Posed:
    """Head and hair under ``expression`` [E] weights and ``joint_rotations`` [J, 3] axis-angle, radians."""
    head, hair = person.sheet.head, person.hair
    used = np.flatnonzero(expression)
    delta = np.einsum("e,evc->vc", expression[used].astype(np.float32), person.keys[used])
    carried = np.einsum("hkc,hk->hc", delta[head.faces[hair.triangle]], hair.barycentric)
    sleeves = person.sheet.sleeves
    rest = np.concatenate([person.neutral + delta, hair.vertices + carried])
    weights = np.concatenate([head.skin_weights, hair.skin_weights])
    turns = joint_transforms(
        torch.from_numpy(joint_rotations), torch.from_numpy(person.joints.astype(np.float64)), head.joint_parents
    ).numpy()
    transforms = np.concatenate([np.eye(4)[None], turns])[:, :3].astype(np.float32)
    directions = np.concatenate([np.zeros_like(person.neutral), hair.tangents])
    vertices, tangents = _skin(rest, directions, weights, transforms)
    _, outward = _skin(hair.vertices, hair.normals, hair.skin_weights, transforms)
    count = len(head.template)
    normals = vertex_normals(vertices[:count], head.faces)
    arms = vertices[sleeves.source] + sleeves.offset
    return Posed(
        np.concatenate([vertices[:count], arms, vertices[count:]]),
        np.concatenate([normals, normals[sleeves.source], outward]),
        tangents[count:],
    )


@njit()
def _skin(points, directions, weights, transforms):
    """Linear-blend skinning of points and of directions that ride on them, all [N, 3]."""
    moved, turned = np.empty_like(points), np.empty_like(directions)
    for n in range(len(points)):
        for row in range(3):
            place, heading = np.float32(0.0), np.float32(0.0)
            for j in range(len(transforms)):
                w = weights[n, j]
                if w == 0.0:
                    continue
                t = transforms[j, row]
                place += w * (t[0] * points[n, 0] + t[1] * points[n, 1] + t[2] * points[n, 2] + t[3])
                heading += w * (t[0] * directions[n, 0] + t[1] * directions[n, 1] + t[2] * directions[n, 2])
            moved[n, row], turned[n, row] = place, heading
    return moved, turned


@njit()
def facing(camera, faces):
    """[F] bool: triangles [F, 3] of camera-space vertices [V, 3] that turn their front to the camera."""
    front = np.empty(len(faces), np.bool_)
    for f in range(len(faces)):
        a, b, c = camera[faces[f, 0]], camera[faces[f, 1]], camera[faces[f, 2]]
        volume = a[0] * (b[1] * c[2] - b[2] * c[1]) - a[1] * (b[0] * c[2] - b[2] * c[0])
        front[f] = volume + a[2] * (b[0] * c[1] - b[1] * c[0]) < 0
    return front
