"""A network as a system: photos to Gaussians bound to triangles, under any motion."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from scipy.ndimage import distance_transform_edt
from torch import nn

from engine.gaussians.binding import triangle_frames
from engine.gaussians.eigenbasis import Eigenbasis
from engine.gaussians.gaussians import PARTS, BoundGaussians, Splats
from engine.heads.atlas import Atlas, make_atlas, position_map, region_masks, texel_neighbours
from engine.heads.parametric import ParametricHead
from engine.heads.rig import Rig
from engine.models.head_gaussians import Memory
from engine.models.learned.posed_images import PAINTED, PaintedTexture, PosedImages
from engine.models.surface import Painted, spread
from engine.photos.photo import Photo
from engine.progress import Progress
from engine.tracking.tracked import Tracked


class Tables(nn.Module):
    """Tensors that are looked up and never trained: they move with the system that has them, and no file keeps them."""

    def keep(self, **tables: torch.Tensor) -> None:
        """Have them as attributes."""
        for name, table in tables.items():
            self.register_buffer(name, table, persistent=False)


class UVMap(Tables):
    """A head's texels at one resolution, as tensors.

    Attributes:
        head: the model. atlas: its texels.
        triangles: [M] int64 and barycentrics: [M, 3], of the valid texels, row by row. valid: [R, R] bool.
        uv: [M, 2] the valid texels' centres, -1..1, v down, as ``grid_sample`` wants them.
    """

    valid: torch.Tensor
    triangles: torch.Tensor
    barycentrics: torch.Tensor
    uv: torch.Tensor

    def __init__(self, head: ParametricHead, resolution: int):
        super().__init__()
        self.head = head
        self.atlas: Atlas = make_atlas(head.uv, head.uv_faces, resolution)
        mask = self.atlas.mask
        row, column = torch.from_numpy(mask).nonzero().T
        self.keep(
            valid=torch.from_numpy(mask),
            triangles=torch.from_numpy(self.atlas.triangle[mask].astype(np.int64)),
            barycentrics=torch.from_numpy(self.atlas.barycentric[mask]),
            uv=(torch.stack((column, row), dim=1) + 0.5) / resolution * 2 - 1,
        )

    def positions(self, vertices: torch.Tensor) -> torch.Tensor:
        """[R, R, 3] metres, where the texels lie on the mesh of vertices [V, 3]; 0 at empty ones."""
        return position_map(self.atlas, self.head.faces, vertices)

    def spread(self, rig: Rig) -> torch.Tensor:
        """[F, 3] metres, standard deviations of Gaussians that just cover their triangle's texels."""
        return torch.from_numpy(spread(self.head, rig, self.atlas.resolution)).float().to(rig.neutral.device)

    @cached_property
    def regions(self) -> dict[str, np.ndarray]:
        """Name -> [R, R] bool."""
        return region_masks(self.atlas, self.head.faces, self.head.regions)

    @cached_property
    def pairs(self) -> torch.Tensor:
        """[P, 2] int64 on the CPU, where they are counted: valid texels side by side on the surface."""
        template = torch.from_numpy(self.head.template)
        return torch.from_numpy(texel_neighbours(self.atlas, self.head.faces, self.positions(template).numpy()))


def nearest_texels(atlas: Atlas) -> torch.Tensor:
    """[R, R] int64: every texel's own number among the valid ones, or that of the valid one nearest to it."""
    number = np.full(atlas.mask.shape, -1)
    number[atlas.mask] = np.arange(int(atlas.mask.sum()))
    nearest = distance_transform_edt(~atlas.mask, return_distances=False, return_indices=True)
    return torch.from_numpy(number[tuple(nearest)])


class Paint(Tables):
    """Reads values at painted texels of ``resolution`` at points of the mesh."""

    texel: torch.Tensor

    def __init__(
        self, head: ParametricHead, triangles: torch.Tensor, barycentrics: torch.Tensor, resolution: int = PAINTED
    ):
        super().__init__()
        fine = make_atlas(head.uv, head.uv_faces, resolution)
        corners = head.uv[head.uv_faces[triangles.numpy()]]  # [N, 3, 2]
        uv = np.einsum("nkc,nk->nc", corners, barycentrics.numpy())
        column = (uv[:, 0] * resolution).astype(int).clip(0, resolution - 1)
        row = ((1 - uv[:, 1]) * resolution).astype(int).clip(0, resolution - 1)
        # points at the rim of an island can fall on an empty texel
        self.keep(texel=nearest_texels(fine)[row, column])

    def read(self, values: torch.Tensor) -> torch.Tensor:
        """Values [M, ...] of the texels, nearest, at the N points."""
        return values[self.texel]


@dataclass(frozen=True)
class Encoded:
    """All that a network learned from one person's photos and that no motion changes.

    Attributes:
        rig: the person's.
        triangles: [N] int64 and barycentrics: [N, 3], what each of N Gaussians is bound to.
        spread: [N, 3] metres, scales that are 1 to the network. presence: [N] 0..1, factors of the opacities.
        texture: of the photos. state: the network's own.
        seen: [N] 0..1, how squarely some photo shows the Gaussians.
        pairs: [P, 2] int64 on the CPU, wherever the rest is: Gaussians side by side.
    """

    rig: Rig
    triangles: torch.Tensor
    barycentrics: torch.Tensor
    spread: torch.Tensor
    presence: torch.Tensor
    texture: PaintedTexture
    state: Any
    seen: torch.Tensor
    pairs: torch.Tensor


@dataclass(frozen=True)
class Densified:
    """A network's Gaussians at rest, carried to as many as were asked for.

    Attributes:
        gaussians: N. eigenbasis: their own motion, of the first of them, or None.
        cover, seen, owner, pairs: as in :class:`~engine.models.head_gaussians.HeadGaussians`, pairs as an array; seen
            and owner of the first, no photo shows the rest.
    """

    gaussians: BoundGaussians
    eigenbasis: Eigenbasis | None
    cover: torch.Tensor
    seen: torch.Tensor
    owner: torch.Tensor
    pairs: np.ndarray


class LearnedSystem(Tables):
    """A network as a system, with ``on_surface`` tables. ``encode`` photos once, ``animate`` for every motion.

    It works on the device that ``to`` brought it to, on captures and motions of that device, and answers there.

    Attributes:
        network: all that is trained. moves: whether Gaussians change with the motion beyond what the mesh does.
        half: whether the network runs under bfloat16 autocast, as trainings do.
        photo_size: px per side of the photos that the network takes.
        weights: which file filled the network (its sha256), "" for none.
    """

    network: nn.Module
    photo_size: int
    moves: bool
    half: bool = False
    weights: str = ""

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return next(self.network.parameters()).device

    def precision(self) -> torch.autocast:
        """Goes around every call of the network, and around nothing else: geometry stays in float32."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.half)

    @abstractmethod
    def encode(self, capture: PosedImages) -> Encoded:
        """Everything that does not depend on the motion; differentiable in the network's parameters."""

    @abstractmethod
    def splats(self, encoded: Encoded, code: torch.Tensor) -> Splats:
        """N Gaussians under a motion code [67]: means in the rest pose, quaternions in the triangles' frames, scales in
        units of ``encoded.spread``; colours may leave 0..1 a little."""

    def animate(self, encoded: Encoded, code: torch.Tensor) -> BoundGaussians:
        """The same, bound to the rig's triangles."""
        return bind_to_rig(
            self.splats(encoded, code),
            encoded.rig,
            encoded.triangles,
            encoded.barycentrics,
            encoded.spread,
            encoded.presence,
        )

    def refined(self, images: PosedImages, seconds: float, progress: Progress) -> LearnedSystem:
        """The system after its own refinement for one person; most have none.

        Args:
            seconds: its budget.
        """
        return self

    def densified(
        self,
        encoded: Encoded,
        neutral: BoundGaussians,
        eigenbasis: Eigenbasis | None,
        painted: Painted,
        shown: np.ndarray,
    ) -> Densified:
        """The Gaussians at the painted head's density, where the system knows how; else as they are.

        Args:
            neutral: at rest, with their motion's ``eigenbasis``. painted: the head at the wanted density.
            shown: [N] 0..1, how squarely the photos that own the painted texels show them.
        """
        nobody = torch.full((len(neutral),), -1, device=self.device)
        return Densified(neutral, eigenbasis, encoded.spread, encoded.seen, nobody, encoded.pairs.numpy())

    def remembered(
        self, encoded: Encoded, tracked: Tracked, texture: PaintedTexture, count: int, photos: Sequence[Photo]
    ) -> Memory | None:
        """What to keep of the person so that photos can be added later; most can keep nothing of use."""
        return None


def bind_to_rig(
    splats: Splats,
    rig: Rig,
    triangles: torch.Tensor,
    barycentrics: torch.Tensor,
    spread: torch.Tensor,
    presence: torch.Tensor,
) -> BoundGaussians:
    """Gaussians as of :meth:`LearnedSystem.splats` on the triangles that carry them; others: see :class:`Encoded`."""
    frames, _ = triangle_frames(rig.neutral, rig.faces)
    anchors = (rig.neutral[rig.faces[triangles]] * barycentrics[..., None]).sum(1)
    return BoundGaussians(
        triangles,
        barycentrics,
        (frames[triangles] * (splats.means - anchors)[:, :, None]).sum(1),
        splats.quats,
        splats.scales * spread,
        splats.opacities * presence,
        splats.colors,
        torch.full_like(triangles, PARTS.index("surface"), dtype=torch.uint8),
    )


def person(splats: Splats, where: torch.Tensor | None = None) -> Splats:
    """The one person of a batch, fields [1, ...] to [N, ...], at ``where`` (a mask of the axes between)."""
    values = [values[0] if where is None else values[0][where] for values in vars(splats).values()]
    return Splats(*(value.float() for value in values))
