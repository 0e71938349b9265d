"""All Gaussians of a view layer on the GPU, their order for one view, and the picture that they give."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import bpy
import gpu
import numpy as np
from mathutils import Matrix

from ..compat import RADIANCE
from ..rig.points import SH_C0, read_attribute
from ..tasks.changes import CHANGES
from . import shader
from .placed import Place

_REVISIONS = itertools.count(1)  # of all scenes together: a viewport may change from one to another
MOVING_LOOKS = "gs_basis_color_0"  # only points with an eigenbasis (rig.motion) have it
LEVELS = 65535.0  # numpy sorts 16-bit keys by radix, in a fifth of the time of floats


@dataclass
class Part:
    """One head's rows in the textures.

    Attributes:
        uid: the point cloud object's ``session_uid``.
        rows: its Gaussians among all.
        version: what :data:`CHANGES` said when it was read.
        moving_looks: colours and opacities change with keys and bones too.
    """

    uid: int
    rows: slice
    version: tuple[int, int, int]
    moving_looks: bool


class Splats:
    """The Gaussians of several heads, in the space of their objects, as textures.

    Attributes:
        parts: the heads in it.
        revision: rises whenever a texture was made anew.
        problem: what is wrong with a head that could not be read; empty if nothing.
    """

    def __init__(self) -> None:
        self.parts: list[Part] = []
        self.revision = 0
        self.problem = ""
        self.positions = np.empty((0, 3), np.float32)
        self._cells = np.empty((0, 3, 4), np.float32)
        self._looks = np.empty((0, 4), np.float32)  # colour, opacity
        self._layout: tuple | None = None
        self.points: gpu.types.GPUTexture | None = None
        self.colors: gpu.types.GPUTexture | None = None

    def update(self, places: Sequence[Place]) -> None:
        """Read what changed of all that may be drawn; what is in several places is there as often."""
        uids = [place.uid for place in places]
        evaluated = {place.uid: place.cloud for place in places}
        layout = CHANGES.epoch, [(uid, len(evaluated[uid].points)) for uid in uids]
        changed = recolored = layout != self._layout
        if changed:
            self._begin(uids, evaluated)
            self._layout = layout if not self.problem else None
        for part in self.parts:
            version = CHANGES.version(part.uid)
            if part.version != version:
                part.version = version
                cloud = evaluated[part.uid]
                changed |= self._read(part, cloud)
                if part.moving_looks:
                    recolored |= self._read_looks(part, cloud)
        rows = len(self._cells) // shader.WIDTH
        if changed:
            self.points = shader.texture(self._cells, (shader.WIDTH, 3 * rows), "RGBA32F") if self.parts else None
        if recolored:
            self.colors = shader.texture(self._looks, (shader.WIDTH, rows), "RGBA32F") if self.parts else None
        if changed or recolored:
            self.revision = next(_REVISIONS)

    def _begin(self, uids: Sequence[int], evaluated: dict[int, bpy.types.PointCloud]) -> None:
        """Lay out the rows, and read what never moves but in heads with an eigenbasis."""
        self.parts, self.problem, start = [], "", 0
        for uid in uids:
            cloud = evaluated[uid]
            names = set(cloud.attributes.keys())
            missing = {"position", "rotation", "scale", RADIANCE} - names
            if missing:
                self.problem = f"{cloud.name} has no {' and no '.join(sorted(missing))}: restore its modifier."
                continue
            count = len(cloud.points)
            self.parts.append(Part(uid, slice(start, start + count), (-1, 0, 0), MOVING_LOOKS in names))
            start += count
        rows = shader.data_rows(start)
        self.positions = np.empty((start, 3), np.float32)
        self._cells = np.zeros((rows * shader.WIDTH, 3, 4), np.float32)
        for number, part in enumerate(self.parts):
            self._cells[part.rows, 0, 3] = number
        self._looks = np.zeros((rows * shader.WIDTH, 4), np.float32)
        for part in self.parts:
            self._read_looks(part, evaluated[part.uid])

    def _read(self, part: Part, cloud: bpy.types.PointCloud) -> bool:
        """Whether a Gaussian moved; Blender updates objects on every frame that is played, moved or not."""
        cells = self._cells[part.rows]
        positions, quats, scales = (read_attribute(cloud, name) for name in ("position", "rotation", "scale"))
        if (
            np.array_equal(cells[:, 0, :3], positions)
            and np.array_equal(cells[:, 1], quats)
            and np.array_equal(cells[:, 2, :3], scales)
        ):
            return False
        self.positions[part.rows] = cells[:, 0, :3] = positions
        cells[:, 1] = quats
        cells[:, 2, :3] = scales
        return True

    def _read_looks(self, part: Part, cloud: bpy.types.PointCloud) -> bool:
        """Whether a colour or opacity changed."""
        looks = read_attribute(cloud, RADIANCE)
        looks[:, :3] *= SH_C0
        looks[:, :3] += 0.5
        if np.array_equal(self._looks[part.rows], looks):
            return False
        self._looks[part.rows] = looks
        return True


def back_to_front(depths: np.ndarray, parts: Sequence[slice]) -> np.ndarray:
    """The order of Gaussians, farthest first.

    Args:
        depths: [N] float32 metres along the view. parts: each head's rows of ``depths``; others are left out.

    Returns:
        Indices into ``depths``. Depths closer than a 65 536th of what the heads fill together may come in any order;
        the empty space between heads does not count.
    """
    parts = [rows for rows in parts if rows.start < rows.stop]
    if not parts:
        return np.empty(0, np.intp)
    spans = sorted((float(depths[rows].min()), float(depths[rows].max()), k) for k, rows in enumerate(parts))
    bases = [0.0] * len(parts)  # metres that are filled before each head's own nearest
    filled, reached = 0.0, spans[0][0]
    for low, high, k in spans:
        bases[k] = filled - max(reached - low, 0.0)
        filled += max(high - max(reached, low), 0.0)
        reached = max(reached, high)
    scale = np.float32((LEVELS - 2 * len(parts)) / max(filled, 1e-9))
    keys = [np.empty(0, np.uint16)] * len(parts)
    for step, (low, _, k) in enumerate(spans):
        # Subtracted first, so that far heads keep their precision; a level of distance where a gap was.
        keys[k] = (LEVELS - step - bases[k] * scale - (depths[parts[k]] - np.float32(low)) * scale).astype(np.uint16)
    numbers = np.concatenate([np.arange(rows.start, rows.stop) for rows in parts])
    return numbers[np.argsort(np.concatenate(keys), kind="stable")]


class Target:
    """A picture of Gaussians for one view; drawn anew only when something changed.

    Attributes:
        color: premultiplied sRGB, bottom row first.
        depth: alpha-weighted metres along the view.
        drawn: how often Gaussians were drawn into it.
    """

    def __init__(
        self, size: tuple[int, int], precise: bool = False, blockers: gpu.types.GPUTexture | None = None
    ) -> None:
        """
        Args:
            size: width, height in pixels. precise: full floats instead of half ones, for files.
            blockers: depth buffer of what hides the Gaussians behind it.
        """
        self.size = size
        self.color = gpu.types.GPUTexture(size, format="RGBA32F" if precise else "RGBA16F")
        self.depth = gpu.types.GPUTexture(size, format="R32F")
        self.drawn = 0
        self._blockers = blockers  # kept: a frame buffer does not own its textures
        self._buffer = gpu.types.GPUFrameBuffer(depth_slot=blockers, color_slots=(self.color, self.depth))
        self._seen: tuple | None = None
        self._sorted: tuple | None = None
        self._order: gpu.types.GPUTexture | None = None
        self._count = 0

    def draw(self, splats: Splats, places: Sequence[Place], view: Matrix, window: Matrix) -> bool:
        """Draw Gaussians, unless the picture shows exactly that already.

        Args:
            places: what to draw, of what ``splats`` was updated with.
            view: world to camera, which looks along -z. window: projection, perspective or orthographic.

        Returns:
            Whether it was drawn anew.
        """
        left = list(places)
        shown, to_view = [], {}
        for k, part in enumerate(splats.parts):
            place = next((place for place in left if place.uid == part.uid), None)
            if place is not None:
                left.remove(place)
                shown.append((k, part))
                to_view[k] = view @ place.matrix
        rows = tuple((k, *matrix[2]) for k, matrix in to_view.items())
        seen = (
            splats.revision,
            tuple((k, *(value for row in m for value in row)) for k, m in to_view.items()),
            tuple(value for row in window for value in row),
        )
        if seen == self._seen:
            return False
        if self._sorted != (splats.revision, rows):
            self._sort(splats, [part.rows for _, part in shown], rows)
            self._sorted = (splats.revision, rows)
        with self._buffer.bind():
            self._buffer.clear(color=(0.0, 0.0, 0.0, 0.0))
            if self._count:
                self._paint(splats, to_view, window)
        self._seen = seen
        self.drawn += 1
        return True

    def _sort(self, splats: Splats, parts: list[slice], rows: tuple) -> None:
        depths = np.empty(len(splats.positions), np.float32)
        for part, (_, *row) in zip(parts, rows, strict=True):
            np.dot(splats.positions[part], np.array(row[:3], np.float32), out=depths[part])
            depths[part] = np.nan_to_num(-row[3] - depths[part], copy=False)
        order = back_to_front(depths, parts)
        self._count = len(order)
        height = shader.data_rows(self._count)
        numbers = np.zeros(height * shader.WIDTH, np.float32)  # exact to 2^24
        numbers[: self._count] = order
        self._order = shader.texture(numbers, (shader.WIDTH, height), "R32F")

    def _paint(self, splats: Splats, to_view: dict[int, Matrix], window: Matrix) -> None:
        rows = np.zeros((len(splats.parts), 3, 4), np.float32)
        for k, matrix in to_view.items():
            rows[k] = np.array(matrix)[:3]
        height = shader.data_rows(3 * len(splats.parts))
        padded = np.zeros((height * shader.WIDTH, 4), np.float32)
        padded[: 3 * len(rows)] = rows.reshape(-1, 4)
        objects = shader.texture(padded, (shader.WIDTH, height), "RGBA32F")  # must live until it is drawn
        program = shader.splat_program()
        gpu.state.blend_set("ALPHA_PREMULT")
        gpu.state.depth_test_set("LESS_EQUAL" if self._blockers else "NONE")
        gpu.state.depth_mask_set(False)
        gpu.state.face_culling_set("NONE")
        program.bind()
        program.uniform_float("window", window)
        program.uniform_float("viewport", self.size)
        program.uniform_sampler("points", splats.points)
        program.uniform_sampler("colors", splats.colors)
        program.uniform_sampler("objects", objects)
        program.uniform_sampler("order", self._order)
        shader.quad().draw_instanced(program, instance_count=self._count)
        gpu.state.depth_test_set("NONE")
        gpu.state.blend_set("NONE")

    def pixel(self, x: int, y: int) -> tuple[float, float]:
        """Alpha and expected metres along the view at a pixel, from the lower left corner; nothing outside."""
        if not (0 <= x < self.size[0] and 0 <= y < self.size[1]):
            return 0.0, np.inf
        # A frame buffer can only be read while something is drawn.
        alpha, depth = self.color.read()[y][x][3], self.depth.read()[y][x]
        return alpha, depth / alpha if alpha > 0 else np.inf

    def read(self) -> tuple[np.ndarray, np.ndarray]:
        """The picture as premultiplied sRGB and alpha [H, W, 4], and expected metres along the view [H, W], float32,
        top row first; metres are infinite where nothing is."""
        width, height = self.size
        with self._buffer.bind():
            color = _pixels(self._buffer.read_color(0, 0, width, height, 4, 0, "FLOAT"), (height, width, 4))
            depth = _pixels(self._buffer.read_color(0, 0, width, height, 1, 1, "FLOAT"), (height, width))
        alpha = color[..., 3]
        with np.errstate(divide="ignore", invalid="ignore"):
            return color, np.where(alpha > 0.0, depth / alpha, np.inf).astype(np.float32)


def _pixels(buffer: gpu.types.Buffer, shape: tuple[int, ...]) -> np.ndarray:
    buffer.dimensions = int(np.prod(shape))
    return np.array(buffer, np.float32).reshape(shape)[::-1]
