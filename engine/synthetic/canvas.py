"""What every painted head shares: where each texel lies on the template, which part it is, how deep in a fold."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property, lru_cache

import numpy as np
from scipy.ndimage import distance_transform_edt
from scipy.spatial import cKDTree

from engine.gaussians.mesh_raster import rasterize_mesh
from engine.heads import load_head
from engine.heads.atlas import make_atlas
from engine.heads.parametric import MOUTH_INSIDE, ParametricHead
from engine.heads.portrait import Eyeball, eyeballs, vertex_normals

RESOLUTION = 640  # texels per side: 0.4 mm on a face
DIRECTIONS = 64  # from which light comes when folds are measured
SHADE_SIZE, SHADE_BIAS = 256, 0.0015  # px of a depth map; m behind it that still count as lit
SKIN, EYE, WET, LASH = range(4)  # materials of triangles
SLEEVE = 0.4  # m


@dataclass(frozen=True)
class Sleeves:
    """Strips that carry chest and shoulders on where the head model's mesh is cut, so that no picture shows the cut.

    Attributes:
        source: [K] int64, the vertex of the head that each vertex follows and takes its texture from.
        offset: [K, 3] float32 metres from there.
        faces: [L, 3] int32 into the strips' own vertices. uv_faces: [L, 3] int32 into the head's ``uv``.
    """

    source: np.ndarray
    offset: np.ndarray
    faces: np.ndarray
    uv_faces: np.ndarray


@dataclass(frozen=True)
class Canvas:
    """The template's texels.

    Attributes:
        head: the default head model.
        mask: [R, R] bool, valid texels, M of them; row 0 is v = 1.
        fill: [R, R] int64, the valid texel that each texel shows, so that bilinear look-ups bleed past islands' rims.
        triangle: [M] int64; barycentric: [M, 3] float32; points, normals: [M, 3] float32 on the template.
        material: [F] uint8 of each triangle.
        openness: [V] float32 0..1, the share of a cosine-weighted sky that reaches the resting template.
        seen: [F'] int32, the triangles that are drawn: all but the strips of lashes, whose texture would be a comb of
        transparent gaps (the lids' rims are painted dark instead).
        sleeves: the shirt beyond the mesh's cut edges.
    """

    head: ParametricHead
    mask: np.ndarray
    fill: np.ndarray
    triangle: np.ndarray
    barycentric: np.ndarray
    points: np.ndarray
    normals: np.ndarray
    material: np.ndarray
    openness: np.ndarray
    seen: np.ndarray
    sleeves: Sleeves
    _members: dict[tuple[str, ...], np.ndarray] = field(default_factory=dict)

    def member(self, *regions: str) -> np.ndarray:
        """[M] float32 0..1: how far each texel belongs to any of the regions, soft across their rims."""
        if regions not in self._members:
            self._members[regions] = self._member(regions)
        return self._members[regions]

    def _member(self, regions: tuple[str, ...]) -> np.ndarray:
        inside = np.logical_or.reduce([self.head.regions[name] for name in regions]).astype(np.float32)
        return np.einsum("mk,mk->m", inside[self.head.faces[self.triangle]], self.barycentric)

    def on(self, *materials: int) -> np.ndarray:
        """[M] bool: texels on triangles of the materials."""
        return np.isin(self.material[self.triangle], materials)

    @cached_property
    def eyes(self) -> tuple[Eyeball, Eyeball]:
        return eyeballs(self.head.template.astype(np.float64), self.head.regions["eyes"])

    @cached_property
    def tree(self) -> cKDTree:
        """Finds texels by their place."""
        return cKDTree(self.points)

    @cached_property
    def landmarks(self) -> np.ndarray:
        """[478, 3] float32 on the template."""
        corners = self.head.template[self.head.faces[self.head.landmark_triangles]]
        return np.einsum("lk,lkc->lc", self.head.landmark_barycentrics, corners)


@lru_cache(maxsize=1)
def canvas() -> Canvas:
    """The default head's, made once a process (about a second).

    Raises:
        AssetError: the default head's data have not been fetched.
    """
    head = load_head()
    atlas = make_atlas(head.uv, head.uv_faces, RESOLUTION)
    number = np.cumsum(atlas.mask.ravel()).reshape(atlas.mask.shape) - 1
    _, (rows, columns) = distance_transform_edt(~atlas.mask, return_indices=True)
    triangle, barycentric = atlas.triangle[atlas.mask].astype(np.int64), atlas.barycentric[atlas.mask]
    normals = vertex_normals(head.template.astype(np.float64), head.faces)

    def at_texels(values: np.ndarray) -> np.ndarray:
        return np.einsum("mkc,mk->mc", values[head.faces[triangle]], barycentric).astype(np.float32)

    material = np.full(len(head.faces), SKIN, np.uint8)
    for kind, names in ((WET, MOUTH_INSIDE), (EYE, ("eyes",)), (LASH, ("lashes",))):
        material[head.face_region(*names)] = kind
    return Canvas(
        head,
        atlas.mask,
        number[rows, columns],
        triangle,
        barycentric,
        at_texels(head.template),
        at_texels(normals.astype(np.float32)),
        material,
        _openness(head, normals, material),
        np.flatnonzero(material != LASH).astype(np.int32),
        _sleeves(head),
    )


def _sleeves(head: ParametricHead) -> Sleeves:
    """From every rim edge of the torso two triangles: down from the chest, down and outward from the arms."""
    edges = head.faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2)
    corners = head.uv_faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2)
    _, inverse, counts = np.unique(np.sort(edges, axis=1), axis=0, return_inverse=True, return_counts=True)
    rim = (counts[inverse.ravel()] == 1) & head.regions["torso"][edges].all(axis=1)
    edges, corners = edges[rim], corners[rim]
    place = head.template[edges]  # [N, 2, 3]
    arm = np.clip((np.abs(place[..., 0]) - 0.12) / 0.06, 0, 1)
    away = np.stack([np.sign(place[..., 0]) * 0.25 * arm, np.full_like(arm, -1.0), 0 * arm], axis=-1) * SLEEVE
    source = np.concatenate([edges, edges], axis=1)  # per edge: its ends, then the ends carried on
    offset = np.concatenate([0 * away, away], axis=1)
    first = 4 * np.arange(len(edges))[:, None]
    quad, texels = np.array([[1, 0, 2], [1, 2, 3]]), np.concatenate([corners, corners], axis=1)
    return Sleeves(
        source.ravel().astype(np.int64),
        offset.reshape(-1, 3).astype(np.float32),
        (first[:, None] + quad).reshape(-1, 3).astype(np.int32),
        texels[:, quad].reshape(-1, 3).astype(np.int32),
    )


def _openness(head: ParametricHead, normals: np.ndarray, material: np.ndarray) -> np.ndarray:
    """[V] 0..1: depth maps from all around, as an orthographic light sees the head."""
    middle = head.template.mean(axis=0)
    distance, span = 20.0, 0.62
    K = np.array([[distance / span * SHADE_SIZE, 0, SHADE_SIZE / 2], [0, distance / span * SHADE_SIZE, SHADE_SIZE / 2],
                  [0, 0, 1]])  # fmt: skip
    solid = material != LASH
    lit, sky = np.zeros(len(normals)), np.zeros(len(normals))
    for k in range(DIRECTIONS):  # Fibonacci's sphere
        y = 1 - (2 * k + 1) / DIRECTIONS
        angle = k * np.pi * (3 - np.sqrt(5))
        toward = np.array([np.sqrt(1 - y * y) * np.cos(angle), y, np.sqrt(1 - y * y) * np.sin(angle)])
        camera = (head.template - middle) @ looking(toward).T + [0, 0, distance]
        depth = rasterize_mesh(camera, head.faces[solid], K, SHADE_SIZE, SHADE_SIZE).depth
        column, row = (camera[:, :2] / camera[:, 2:] * K[0, 0] + SHADE_SIZE / 2).astype(int).clip(0, SHADE_SIZE - 1).T
        cosine = np.clip(normals @ toward, 0, None)
        lit += cosine * (camera[:, 2] < depth[row, column] + SHADE_BIAS)
        sky += cosine
    return (lit / np.maximum(sky, 1e-9)).astype(np.float32)


def looking(toward: np.ndarray) -> np.ndarray:
    """[3, 3] world to camera axes (x right, y down, z forward) of an upright camera that lies in direction ``toward``
    (unit, not vertical) and looks back."""
    right = np.cross([0.0, 1.0, 0.0], toward)
    right /= np.linalg.norm(right)
    return np.stack([right, -np.cross(toward, right), -toward])
