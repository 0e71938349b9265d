"""The five networks ready to run on random photos of a head-shaped shell: what happens once per head, and per frame."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from engine.avatar import Avatar, deform
from engine.benchmark.measure import median_seconds
from engine.benchmark.scene import arc_cameras, on_shell, portrait_camera, shell, shell_avatar
from engine.benchmark.splatting import FRAMES, frames, values_of
from engine.gaussians.binding import bind, pose
from engine.gaussians.gaussians import Splats
from engine.heads.atlas import make_atlas, position_map
from engine.models.avat3r import Avat3r, Avat3rNetwork, PositionedViews
from engine.models.ffavatar import FFAvatar, FFAvatarNetwork, TrackedViews
from engine.models.flexavatar import FlexAvatar, FlexAvatarNetwork, Texels
from engine.models.kit.correspondence import Correspondence, mesh_correspondence
from engine.models.kit.points import SurfacePoints
from engine.models.kit.registration import register
from engine.models.kit.uv_estimator import UVEstimator
from engine.models.match import MATCH, MatchNetwork, MatchViews
from engine.models.uika import UIKA, UIKANetwork
from engine.splatting import rasterization

MATCH_PHOTO = (640, 512)  # height and width of MATCH's photos; the others' are squares of their ``image_size``
CREATE_REPEATS = 5  # a pass takes long, and varies little


@dataclass(frozen=True)
class Case:
    """A network with random weights and everything that it reads in the device's memory.

    Attributes:
        modules: what has weights.
        create: photos to a head; its answer is what ``frame`` needs. The first frame's Gaussians are made too.
        frame: that answer to another frame's Gaussians [N, ...]; None where the rig alone moves them.
        anchors: triangles [N] and barycentrics [N, 3] of the shell under those Gaussians, which the rig then carries
            along; None where they are in place.
    """

    modules: tuple[nn.Module, ...]
    create: Callable[[], Any]
    frame: Callable[[Any], Splats] | None = None
    anchors: tuple[torch.Tensor, torch.Tensor] | None = None


@dataclass(frozen=True)
class Photos:
    """One person in V photos of H × W: noise, as seen by cameras on an arc around the shell.

    Attributes:
        images: [1, V, 3, H, W] 0..1. where: the shell's raster. viewmats: [1, V, 4, 4]. Ks: [1, V, 3, 3].
        positions: [1, V, 3, H, W] metres, 0 beside the shell.
    """

    images: torch.Tensor
    where: Correspondence
    viewmats: torch.Tensor
    Ks: torch.Tensor
    positions: torch.Tensor


def shell_photos(count: int, height: int, width: int, device: torch.device, seed: int = 0) -> Photos:
    """``count`` photos of the shell."""
    mesh = shell()
    viewmats, Ks = arc_cameras(count, height, width)
    where = mesh_correspondence(
        [mesh.vertices] * count, mesh.faces, mesh.uv, mesh.faces, viewmats.numpy(), Ks.numpy(), height, width
    )
    uv_up = torch.stack((where.uv[:, :, 0], 1 - where.uv[:, :, 1]), dim=-1)
    positions = torch.from_numpy(on_shell(uv_up.numpy())).movedim(-1, 2) * where.mask
    images = torch.rand(1, count, 3, height, width, generator=torch.Generator().manual_seed(seed))
    on_device = Correspondence(*(each.to(device) for each in (where.uv, where.mask, where.confidence)))
    return Photos(images.to(device), on_device, viewmats[None].to(device), Ks[None].to(device), positions.to(device))


def match_case(config: MATCH, count: int, device: torch.device, photo: tuple[int, int] = MATCH_PHOTO) -> Case:
    """MATCH: registration, network, texture. Sapiens' features are noise, their making is not counted."""
    height, width = photo
    photos, mesh, patch = shell_photos(count, height, width, device), shell(), config.registration.image_patch
    atlas = make_atlas(mesh.uv, mesh.faces, config.registration.resolution)
    surface = position_map(atlas, mesh.faces, torch.from_numpy(mesh.vertices))[None].to(device)
    features = torch.randn(1, count, config.feature_width, height // patch, width // patch, device=device)
    views = MatchViews(photos.images, photos.where.mask, photos.viewmats, photos.Ks, photos.where, features)
    network = _built(MatchNetwork, config, device)

    def texture() -> Any:
        with torch.autocast(device.type, enabled=False):  # its scores have a precision of their own
            neighbours = register(views.correspondence.uv, views.correspondence.mask, config.registration)
        return network.textured(views, views.images, surface, neighbours)

    return Case((network,), texture)


def uika_case(config: UIKA, count: int, device: torch.device) -> Case:
    """UIKA: UV estimator, then network."""
    photos, (valid, surface, _) = shell_photos(count, *_square(config), device), _texels(config.resolution, device)
    estimator, network = _built(UVEstimator, config.estimator, device), _built(UIKANetwork, config, device)
    images, mask = photos.images, photos.where.mask
    return Case((estimator, network), lambda: network(images, estimator(images, mask), valid, surface))


def ffavatar_case(config: FFAvatar, count: int, device: torch.device) -> Case:
    """FFAvatar: remember and appear once, move in every frame. The tracker's time is not counted."""
    photos, mesh = shell_photos(count, *_square(config), device), shell()
    _, _, (triangles, barycentrics) = _texels(config.resolution, device)
    faces = torch.from_numpy(mesh.faces).long().to(device)
    points = SurfacePoints(torch.from_numpy(mesh.vertices).to(device), faces[triangles], barycentrics)
    first_face, first_corner = _any_triangle(faces, len(mesh.vertices))
    anchors = torch.cat((first_face, triangles)), torch.cat((first_corner, barycentrics))
    motions = torch.rand(1, count, config.motion_width, device=device)
    views = TrackedViews(photos.images, photos.where.mask, photos.viewmats, photos.Ks, motions)
    direction = torch.tensor([[0.0, 0.0, 1.0]], device=device) if config.sees_camera else None
    network = _built(FFAvatarNetwork, config, device)

    def move(appearance: Any) -> Splats:
        return _only(network.move(appearance, motions[:, 0], direction))

    return Case((network,), _then(lambda: network.appear(network.remember(views), points), move), move, anchors)


def avat3r_case(config: Avat3r, count: int, device: torch.device) -> Case:
    """Avat3r: encode once, decode in every frame. DUSt3R's maps are the shell's, Sapiens' features noise."""
    height, width = _square(config)
    photos, side = shell_photos(count, height, width, device), height // config.patch
    features = torch.randn(1, count, config.feature_width, side, side, device=device)
    confidence = photos.where.mask[:, :, 0]
    views = PositionedViews(photos.images, photos.positions, confidence, photos.viewmats, photos.Ks, features)
    motion = torch.rand(1, config.motion_width, device=device)
    network = _built(Avat3rNetwork, config, device)

    def decode(cache: Any) -> Splats:
        splats, keep = _only(network.decode(cache, motion)), cache.keep[0]
        return Splats(*(field[keep] for field in vars(splats).values()))

    return Case((network,), _then(lambda: network.encode(views), decode), decode)


def flexavatar_case(config: FlexAvatar, count: int, device: torch.device) -> Case:
    """FlexAvatar: encode once, the UNet in every frame, at all texels."""
    photos = shell_photos(count, *_square(config), device)
    valid, surface, anchors = _texels(config.resolution, device)
    texels = Texels(valid, surface, torch.ones(len(surface), dtype=torch.bool, device=device))
    driving = torch.zeros(*valid.shape, 3, device=device).masked_scatter(valid[..., None], surface).movedim(-1, 0)[None]
    network = _built(FlexAvatarNetwork, config, device)

    def move(head: Any) -> Splats:
        return _only(network.move(head, texels, driving))

    return Case((network,), _then(lambda: network.encode(photos.images, texels), move), move, anchors)


Build = Callable[[int, torch.device], Case]
"""A case for a number of photos on a device."""


def create(
    build: Build, count: int, device: torch.device, dtype: torch.dtype, repeats: int = CREATE_REPEATS
) -> dict[str, float]:
    """``s``: photos in the device's memory to Gaussians. ``parameters_M``: millions of weights that take part.

    Args:
        dtype: float32, or bfloat16 by autocast over the whole pass (what that does to the result is not measured).
    """
    case = build(count, device)
    with torch.inference_mode(), _cast(device, dtype):
        taken = median_seconds(case.create, device, repeats)
    weights = sum(p.numel() for module in case.modules for p in module.parameters())
    return {"s": taken, "parameters_M": weights / 1e6}


def frame(
    build: Build, count: int, device: torch.device, dtype: torch.dtype, size: int, repeats: int = FRAMES
) -> dict[str, float]:
    """A frame of a head that is there already: the network's share, the rig's, and an image of ``size``².

    Returns:
        ``FPS`` and ``ms`` of all three; ``network_ms`` of the first alone; ``Gaussians``. The rig moves the shell on
        the CPU, as the engine does. Weights are random, so Gaussians are as large as training would start them.
    """
    case = build(count, device)
    network = case.frame
    assert network is not None
    avatar = shell_avatar(1, device)
    viewmats, Ks = (each.to(device) for each in portrait_camera(size))

    with torch.inference_mode():

        def predict() -> Splats:
            with _cast(device, dtype):
                return Splats(*(field.float() for field in vars(network(head)).values()))

        def whole() -> torch.Tensor:
            splats = predict()
            if case.anchors is not None:
                splats = _carried(splats, avatar, *case.anchors)
            return rasterization(*values_of(splats), viewmats, Ks, size, size)[0]

        with _cast(device, dtype):
            head = case.create()
        alone, together = frames(predict, device, repeats), frames(whole, device, repeats)
        return together | {"network_ms": alone["ms"], "Gaussians": float(len(predict().means))}


def _carried(splats: Splats, avatar: Avatar, triangles: torch.Tensor, barycentrics: torch.Tensor) -> Splats:
    """Gaussians at rest, moved along with the avatar's mesh under all its keys and bones."""
    device = splats.means.device
    vertices, faces = (torch.from_numpy(each).to(device) for each in (avatar.vertices, avatar.faces))
    parts = torch.zeros_like(triangles, dtype=torch.uint8)
    bound = bind(*values_of(splats), parts, vertices, faces, triangles, barycentrics)
    moved = deform(avatar, np.full(len(avatar.key_names), 0.5), np.full((len(avatar.joint_names), 3), 0.05))
    return pose(bound, moved.to(device), faces, avatar.rest_areas)


def _cast(device: torch.device, dtype: torch.dtype) -> torch.autocast:
    return torch.autocast(device.type, dtype, enabled=dtype != torch.float32)


def _built(network: Callable[[Any], nn.Module], config: Any, device: torch.device) -> Any:
    """The network with random weights, made on the device: a thousand times faster there than on a CPU."""
    with torch.device(device):
        made = network(config)
    return made.to(device).eval()


def _then(once: Callable[[], Any], move: Callable[[Any], Splats]) -> Callable[[], Any]:
    """``once`` and a first frame after it; the answer is that of ``once``."""

    def both() -> Any:
        head = once()
        move(head)
        return head

    return both


def _only(splats: Splats) -> Splats:
    """The one person of a batch."""
    return Splats(*(field[0] for field in vars(splats).values()))


def _square(config: Any) -> tuple[int, int]:
    return config.image_size, config.image_size


def _texels(
    resolution: int, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor, tuple[torch.Tensor, torch.Tensor]]:
    """The shell's texels: which are valid [R, R], where those lie [M, 3], and their triangles and barycentrics."""
    mesh = shell()
    atlas = make_atlas(mesh.uv, mesh.faces, resolution)
    surface = position_map(atlas, mesh.faces, torch.from_numpy(mesh.vertices))[torch.from_numpy(atlas.mask)]
    triangles = torch.from_numpy(atlas.triangle[atlas.mask]).long()
    barycentrics = torch.from_numpy(atlas.barycentric[atlas.mask])
    return torch.from_numpy(atlas.mask).to(device), surface.to(device), (triangles.to(device), barycentrics.to(device))


def _any_triangle(faces: torch.Tensor, vertices: int) -> tuple[torch.Tensor, torch.Tensor]:
    """For every vertex a triangle at it [V], and the vertex in that triangle's barycentrics [V, 3]."""
    place = torch.zeros(vertices, dtype=torch.long, device=faces.device)
    place[faces.flatten()] = torch.arange(faces.numel(), device=faces.device)
    return place // 3, nn.functional.one_hot(place % 3, 3).float()
