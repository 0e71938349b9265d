"""FFAvatar (arXiv 2606.30347): gathers photos into one appearance, in any order, also later."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from engine.device import CPU, moved
from engine.errors import AvatarError
from engine.gaussians.gaussians import Splats
from engine.heads.atlas import make_atlas, texels_for_count
from engine.heads.parametric import ParametricHead
from engine.heads.rig import make_rig
from engine.models.ffavatar import Appearance, FFAvatar, FFAvatarNetwork, TrackedViews
from engine.models.head_gaussians import HeadGaussians
from engine.models.kit.memory import TokenMemory
from engine.models.kit.points import SurfacePoints
from engine.models.kit.rehearsal import (
    Rehearsal,
    any_triangle,
    built,
    only,
    shell_photos,
    square,
    texels_of_shell,
    then,
)
from engine.models.kit.scene import shell
from engine.models.learned.photo_memory import SUFFIX, PhotoMemory, lay_over
from engine.models.learned.posed_images import PaintedTexture, PosedImages, pose_images, put_on
from engine.models.learned.reconstruct import coarse, finish, on_device, trained, with_weights
from engine.models.learned.system import Encoded, Paint, UVMap, person
from engine.models.learned.texel_system import DenseTexels
from engine.models.spec import Adding, Contrast, Losses, NetworkSpec, SystemSpec
from engine.models.surface import paint_on
from engine.photos.photo import Photo
from engine.progress import Progress
from engine.tracking.tracked import Tracked

REMAKE = "Reconstruct the head from all its photos at once."


@dataclass(frozen=True)
class _Remembered:
    appearance: Appearance
    memory: TokenMemory


class FFAvatarSystem(DenseTexels):
    """FFAvatar; a vertex's Gaussian is bound to one of the triangles at it. Tokens are marked with the weights."""

    network: FFAvatarNetwork
    corners: torch.Tensor
    triangles: torch.Tensor
    barycentrics: torch.Tensor
    moves = True

    def __init__(self, config: FFAvatar, head: ParametricHead):
        super().__init__()
        self.config, self.photo_size = config, config.image_size
        self.moves = config.residual_motion
        self.network = FFAvatarNetwork(config)
        self.texels = UVMap(head, config.resolution)
        corners = torch.from_numpy(head.faces.astype(np.int64))[self.texels.triangles]
        vertices, first = np.unique(head.faces, return_index=True)  # a face and corner for every vertex
        assert len(vertices) == len(head.template)
        at_vertices = torch.eye(3)[torch.from_numpy(first % 3)]
        triangles = torch.cat((torch.from_numpy(first // 3), self.texels.triangles))
        barycentrics = torch.cat((at_vertices, self.texels.barycentrics))
        if config.points == "sparse":
            triangles, barycentrics = triangles[: len(vertices)], barycentrics[: len(vertices)]
        self.keep(corners=corners, triangles=triangles, barycentrics=barycentrics)
        self.paint = Paint(head, triangles, barycentrics)

    def encode(self, capture: PosedImages, known: TokenMemory | None = None) -> Encoded:
        views = TrackedViews(
            capture.images[None], capture.masks[None], capture.head_viewmats[None], capture.Ks[None],
            capture.motions[None],
        )  # fmt: skip
        with self.precision():
            memory = self.network.remember(views, self.weights)
        if known is not None:
            memory = known.extended(memory)
        points = SurfacePoints(capture.rig.neutral, self.corners, self.texels.barycentrics)
        texture = capture.texture
        painted = self.paint.read(torch.cat((texture.colors, texture.seen[:, None]), dim=1))
        with self.precision():
            appearance = self.network.appear(memory, points, painted[None] if self.config.color == "mix" else None)
        pairs = self.texels.pairs + len(capture.rig.neutral)
        pairs = pairs[: 0 if self.config.points == "sparse" else None]
        state = _Remembered(appearance, memory)
        return Encoded(
            capture.rig, self.triangles, self.barycentrics, self.texels.spread(capture.rig)[self.triangles],
            self.paint.read(texture.presence), texture, state, painted[:, 3], pairs,
        )  # fmt: skip

    def splats(self, encoded: Encoded, code: torch.Tensor) -> Splats:
        with self.precision():
            return person(self.network.move(encoded.state.appearance, code[None]))

    def remembered(
        self, encoded: Encoded, tracked: Tracked, texture: PaintedTexture, count: int, photos: Sequence[Photo]
    ) -> PhotoMemory:
        return PhotoMemory.of(encoded.state.memory, tracked, texture, count, photos)


def load_memory(path: Path, head: ParametricHead) -> PhotoMemory:
    """What was kept of a person's photos.

    Raises:
        AvatarError: it is missing or damaged, other weights than the engine's made it, or it is of another head model.
    """
    known = PhotoMemory.load(path)
    resolution = texels_for_count(head.uv, head.uv_faces, known.count)
    texels = int(make_atlas(head.uv, head.uv_faces, resolution).mask.sum())
    person = known.tracked
    sizes = len(person.neutral), len(person.joints), len(person.views[0].expression), len(known.texture.seen)
    if sizes != (len(head.template), len(head.joint_names), len(head.expression_names), texels):
        raise AvatarError("What was kept of the photos is of another head model.", REMAKE)
    if known.tokens.weights != trained("ffavatar", NETWORK).weights:
        raise AvatarError("What was kept of the photos was made with other weights of ffavatar.", REMAKE)
    return known


def add(
    known: PhotoMemory,
    photos: Sequence[Photo],
    tracked: Tracked,
    head: ParametricHead,
    progress: Progress,
    device: torch.device = CPU,
) -> HeadGaussians:
    """More photos of a known person, with the weights that come with the engine; see :func:`add_with`."""
    system = on_device(trained("ffavatar", NETWORK), device)
    assert isinstance(system, FFAvatarSystem)
    return add_with(system, known, photos, tracked, head, progress)


@torch.no_grad()
def add_with(
    system: FFAvatarSystem,
    known: PhotoMemory,
    photos: Sequence[Photo],
    tracked: Tracked,
    head: ParametricHead,
    progress: Progress,
) -> HeadGaussians:
    """The head after new photos, on the rig and at the density that it has (FFAvatar, arXiv 2606.30347).

    Old photos cost no more than the attention to their tokens. Only what the new photos show is left to refinement,
    which does not see the old ones.

    Args:
        tracked: the new photos', from :meth:`PhotoMemory.place`.
    """
    resolution = texels_for_count(head.uv, head.uv_faces, known.count)
    rig = make_rig(head, known.texture.neutral.numpy(), tracked.joints)
    fresh = paint_on(photos, tracked.views, head, rig, resolution)
    painted = lay_over(known.texture, fresh, head)
    progress.update(0.3)
    texture = put_on(painted)
    images = pose_images(photos, tracked, head, coarse(texture, head, resolution), system.photo_size)
    encoded = system.encode(moved(images, system.device), moved(known.tokens, system.device))
    made = finish(system, encoded, painted, fresh.texture.owned, photos, tracked.views, head, progress)
    return replace(made, memory=known.extended(moved(encoded.state.memory, CPU), texture, photos))


def _rehearse(config: FFAvatar, count: int, device: torch.device) -> Rehearsal:
    """FFAvatar: remember and appear once, move in every frame. The tracker's time is not counted."""
    photos, mesh = shell_photos(count, *square(config), device), shell()
    _, _, (triangles, barycentrics) = texels_of_shell(config.resolution, device)
    faces = torch.from_numpy(mesh.faces).long().to(device)
    points = SurfacePoints(torch.from_numpy(mesh.vertices).to(device), faces[triangles], barycentrics)
    first_face, first_corner = any_triangle(faces, len(mesh.vertices))
    anchors = torch.cat((first_face, triangles)), torch.cat((first_corner, barycentrics))
    motions = torch.rand(1, count, config.motion_width, device=device)
    views = TrackedViews(photos.images, photos.where.mask, photos.viewmats, photos.Ks, motions)
    direction = torch.tensor([[0.0, 0.0, 1.0]], device=device) if config.sees_camera else None
    network = built(FFAvatarNetwork, config, device)

    def move(appearance: Any) -> Splats:
        return only(network.move(appearance, motions[:, 0], direction))

    return Rehearsal((network,), then(lambda: network.appear(network.remember(views), points), move), move, anchors)


NETWORK = NetworkSpec(
    config=FFAvatar,
    system=FFAvatarSystem,
    losses=Losses(l1=1.0, ssim=0.1),  # as UIKA: its own are unknown
    contrasts=(Contrast("sparse to dense >= dense", {"points": "dense"}),),
    photos=(1, 2, 4, 8),
    rehearse=_rehearse,
    published={
        "1 photo, create": "FFAvatar 1.3 s",
        "4 photos, create": "FFAvatar 1.7 s",
        "1 photo, frame": "FFAvatar 31 FPS",
    },
)
SPEC = SystemSpec(
    name="ffavatar",
    label="FFAvatar",
    description="Network that gathers photos and frames into one look, in any order. For clips and mixed sets; "
    "Gaussians also change with the expression",
    reconstruct=with_weights("ffavatar", NETWORK),
    seconds=9.5,
    network=NETWORK,
    adding=Adding(SUFFIX, load_memory, add),
    order=2,
)
