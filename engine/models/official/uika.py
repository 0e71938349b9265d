"""Official UIKA (arXiv 2601.07603) from photos to a head: its network, its texels, the user's FLAME."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch

from engine.device import CPU
from engine.errors import EngineError
from engine.gaussians.binding import bind
from engine.gaussians.gaussians import PARTS, BoundGaussians, Splats, select
from engine.heads.atlas import position_map, texel_neighbours
from engine.heads.parametric import ParametricHead
from engine.heads.portrait import vertex_normals
from engine.heads.rig import Rig, make_rig
from engine.models.head_gaussians import HeadGaussians, kept_pairs
from engine.models.importers import read_tensors
from engine.models.kit.correspondence import Correspondence
from engine.models.official.contents import Contents
from engine.models.official.following import following_joints, following_neutral
from engine.models.official.inputs import Crop, crop
from engine.models.official.network import OfficialUIKA, expected_seconds
from engine.models.official.texels import OnHead, TexelTable, check_flame, put_on, read_table
from engine.models.official.tracked import tracked_correspondence
from engine.models.spec import CORRESPONDENCES, SystemSpec
from engine.models.surface.beyond import add_beyond
from engine.models.surface.membrane import Membrane
from engine.models.surface.shoot import compare
from engine.models.surface.texture import SKIN, Texels, project_photos
from engine.models.surface.views import pose_rig, view_geometry
from engine.models.uika import UIKA
from engine.photos.photo import Photo
from engine.progress import Progress
from engine.tracking import retrack
from engine.tracking.tracked import Tracked, View

FAINT = 0.02  # opacity under which a Gaussian is left out


@dataclass(frozen=True)
class UIKAOnFlame:
    """A checkpoint with the user's FLAME, checked against each other.

    Attributes:
        path: of the checkpoint. table: its texels. correspondence: one of
            :data:`engine.models.spec.CORRESPONDENCES`.
    """

    path: Path
    table: TexelTable
    correspondence: str

    @cached_property
    def networks(self) -> OfficialUIKA:
        return OfficialUIKA(read_tensors(self.path), self.path.name, UIKA.paper())

    def prepare(self, head: ParametricHead) -> ParametricHead:
        """The head model with a triangle for every texel."""
        return put_on(self.table, head).head

    def reconstruct(
        self,
        photos: Sequence[Photo],
        tracked: Tracked,
        head: ParametricHead,
        progress: Progress,
        count: int,
        seconds: float = 0.0,
        device: torch.device = CPU,
    ) -> HeadGaussians:
        """Photos to Gaussians; ``count`` is not asked, the network has its own.

        Args:
            head: as :meth:`prepare` made it.
        """
        on_head = put_on(self.table, head)
        crops = [crop(photo, UIKA.paper().image_size) for photo in photos]
        images, masks = (torch.stack([getattr(cut, name) for cut in crops])[None] for name in ("image", "mask"))
        if self.correspondence == "tracking":
            where = self._tracked(on_head, crops, tracked)
        else:
            where = self.networks.correspondence(images, masks, progress, device)
        surface = self.table.mix(torch.from_numpy(head.template))
        splats = self.networks.gaussians(images, where, self.table.valid, surface, progress, device)
        splats = Splats(*(field[0] for field in vars(splats).values()))
        rig, gaussians = settled(on_head, splats, surface)
        progress.update(0.97)
        views = retrack(photos, tracked, head, rig.neutral.numpy(), rig.joints.numpy())
        return finished(on_head, rig, gaussians, photos, views)

    def _tracked(self, on_head: OnHead, crops: Sequence[Crop], tracked: Tracked) -> Correspondence:
        rig = make_rig(on_head.head, tracked.neutral, tracked.joints)
        posed = [pose_rig(rig, view).numpy().astype(np.float64) for view in tracked.views]
        return tracked_correspondence(on_head, posed, tracked.views, crops)


def settled(on_head: OnHead, splats: Splats, surface: torch.Tensor) -> tuple[Rig, BoundGaussians]:
    """The network's M Gaussians on the rig that follows them.

    Args:
        splats: around the mean head. surface: [M, 3] metres, where its texels are.
    """
    offsets = (splats.means - surface).numpy().astype(np.float64)
    neutral = following_neutral(on_head, offsets, splats.opacities.numpy().astype(np.float64))
    rig = make_rig(on_head.head, neutral, following_joints(on_head.head, neutral))
    parts = torch.full((len(offsets),), PARTS.index("surface"), dtype=torch.uint8)
    values = (splats.means, splats.quats, splats.scales, splats.opacities, splats.colors.clamp(0, 1), parts)
    return rig, bind(*values, rig.neutral, rig.faces, on_head.triangles, on_head.barycentrics)


def finished(
    on_head: OnHead, rig: Rig, gaussians: BoundGaussians, photos: Sequence[Photo], views: Sequence[View]
) -> HeadGaussians:
    """The head as the pipeline takes it: what photos show of it, and what they show beyond it."""
    head, mask = on_head.head, gaussians.opacities > FAINT
    shoot = compare(head, rig, photos, views)
    vertices = rig.neutral.numpy().astype(np.float64)
    triangles, barycentrics = on_head.triangles.numpy(), on_head.barycentrics.numpy().astype(np.float64)
    corners = head.faces[triangles]
    positions, normals = (
        np.einsum("nkc,nk->nc", each[corners], barycentrics)
        for each in (vertices, vertex_normals(vertices, head.faces))
    )
    geometry = [view_geometry(rig, view) for view in views]
    skin = Membrane(vertices, head.faces, head.face_region(*SKIN))
    texels = Texels(triangles, barycentrics, positions, normals)
    texture = project_photos(head, texels, photos, geometry, skin, shoot.lights, shoot.leading)
    places = position_map(on_head.atlas, head.faces, rig.neutral).numpy()
    pairs = kept_pairs(texel_neighbours(on_head.atlas, head.faces, places), mask.numpy())
    mine = select(gaussians, mask)
    whole, from_photo, turned = add_beyond(mine, head, rig, photos, views, shoot)
    seen, owner = (torch.from_numpy(each)[mask] for each in (texture.owned, texture.owner))
    added = torch.ones(len(whole) - len(mine))
    fixed = torch.zeros(len(whole), dtype=torch.bool)
    return HeadGaussians(
        rig, whole, whole.scales, torch.cat((seen.float(), added)), torch.cat((owner, from_photo)), fixed, shoot, pairs,
        turned,
    )  # fmt: skip


def official_uika(spec: SystemSpec, path: Path, holds: Contents, head: str, correspondence: str) -> SystemSpec:
    """The system with official weights on the user's FLAME.

    Args:
        holds: what is in the file. head: the head model asked for, by name or path.

    Raises:
        EngineError: it is no FLAME file. HeadModelError: it is another FLAME than the weights were trained on, or
            damaged. AssetError: the estimator is not in the file, or its texels are damaged.
    """
    if correspondence not in CORRESPONDENCES:
        raise EngineError(
            f"There is no correspondence called {correspondence}.", f"Choose {' or '.join(CORRESPONDENCES)}."
        )
    if correspondence == "estimator" and not holds.estimator:
        raise EngineError(f"{path.name} was saved without UIKA's UV estimator.", "Add --correspondence tracking.")
    tensors = read_tensors(path)
    table = read_table(tensors, path.name, UIKA.paper().resolution)
    check_flame(Path(head), table, tensors, path.name)
    official = UIKAOnFlame(path, table, correspondence)
    return replace(spec, reconstruct=official.reconstruct, prepare=official.prepare, network_seconds=expected_seconds)
