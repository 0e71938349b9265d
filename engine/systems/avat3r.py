"""Avat3r (arXiv 2502.20220): turns the photos' pixels into Gaussians."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from scipy.ndimage import distance_transform_edt
from torch.nn import functional

from engine.gaussians.binding import bind, pose, triangle_frames
from engine.gaussians.eigenbasis import Eigenbasis
from engine.gaussians.gaussians import BoundGaussians, Splats, concatenate, select
from engine.heads.parametric import ParametricHead
from engine.models.avat3r import Avat3r, Avat3rCache, Avat3rNetwork, PositionedViews
from engine.models.head_gaussians import HALF
from engine.models.kit.rehearsal import (
    Rehearsal,
    built,
    only,
    shell_photos,
    square,
    then,
)
from engine.models.learned.density import Density
from engine.models.learned.posed_images import INSIDE, PAINTED, PosedImages
from engine.models.learned.reconstruct import with_weights
from engine.models.learned.system import Densified, Encoded, LearnedSystem, UVMap, bind_to_rig, person
from engine.models.spec import Contrast, Data, Losses, NetworkSpec, SystemSpec
from engine.models.surface import Painted

FOOTPRINT = 0.65  # standard deviation of a pixel's Gaussian, in pixels
BEYOND = 0.03  # m from the mesh within which a pixel beside it can still be hair
SPOTS = 128  # per side of the UV map: where photos compete
OUTDONE = 0.6, 0.9  # a pixel's squareness over the best at its spot: below, it counts nothing; above, in full
GRAZING = 0.4  # cosine; pixels seen at a smaller one are widened no further


@dataclass(frozen=True)
class _Pixels:
    cache: Avat3rCache
    backdrop: BoundGaussians  # at all M texels of the painted head
    spread: torch.Tensor  # [M, 3] metres, its scales that are 1 to the network


class Avat3rSystem(LearnedSystem):
    """Avat3r with position maps from the tracked mesh at rest: so photos of different expressions agree (ours).

    A pixel of the person beside the mesh (hair, collar) lies at the depth of the nearest pixel of the mesh and follows
    that pixel's triangle. Where several photos show a spot, the confidence of a pixel falls with how much more squarely
    another one shows it, so that the filter leaves one layer of skin and not one per photo (ours: the paper's
    confidence is DUSt3R's). Texels of the painted head that no photo shows squarely get Gaussians without pixels.
    """

    network: Avat3rNetwork
    moves = True

    def __init__(self, config: Avat3r, head: ParametricHead):
        super().__init__()
        self.photo_size = config.image_size
        self.network = Avat3rNetwork(config)
        self.texels = UVMap(head, PAINTED)

    def encode(self, capture: PosedImages) -> Encoded:
        triangle, barycentric, positions, footprint, squareness = _place_pixels(capture)
        share = self.undisputed(triangle, barycentric, squareness)
        confidence = capture.masks[:, 0] * (positions.abs().sum(-1) > 0) * torch.where(capture.seen, share, 1.0)
        views = PositionedViews(
            capture.images[None],
            positions.permute(0, 3, 1, 2)[None],
            confidence[None],
            capture.head_viewmats[None],
            capture.Ks[None],
        )
        with self.precision():
            cache = self.network.encode(views)
        keep = cache.keep[0]
        number = torch.full(keep.shape, -1)
        number[keep.cpu()] = torch.arange(int(keep.sum()))
        grid = number.view(confidence.shape)
        beside = torch.cat(
            [
                torch.stack((grid[:, :, 1:], grid[:, :, :-1]), dim=-1).flatten(0, 2),
                torch.stack((grid[:, 1:], grid[:, :-1]), dim=-1).flatten(0, 2),
            ]
        )
        pairs = beside[(beside >= 0).all(dim=1)]
        seen = torch.ones(int(keep.sum()), device=keep.device)
        return Encoded(
            capture.rig, triangle.flatten()[keep], barycentric.flatten(0, 2)[keep],
            footprint.flatten()[keep, None].expand(-1, 3), confidence.flatten()[keep], capture.texture,
            self._state(cache, capture), seen, pairs,
        )  # fmt: skip

    def splats(self, encoded: Encoded, code: torch.Tensor) -> Splats:
        cache: Avat3rCache = encoded.state.cache
        with self.precision():
            return person(self.network.decode(cache, code[None]), cache.keep[0])

    def animate(self, encoded: Encoded, code: torch.Tensor) -> BoundGaussians:
        texture = encoded.texture
        unseen = (texture.seen < HALF) & (texture.presence > 0)
        return concatenate(super().animate(encoded, code), select(encoded.state.backdrop, unseen))

    def undisputed(self, triangle: torch.Tensor, barycentric: torch.Tensor, squareness: torch.Tensor) -> torch.Tensor:
        """[V, S, S] 0..1, how near a pixel's squareness comes to the best that any photo has at its spot; arguments as
        from ``_place_pixels``."""
        head = self.texels.head
        corners = torch.from_numpy(head.uv[head.uv_faces]).float().to(triangle.device)  # [F, 3, 2]
        corners = corners[triangle.clamp_min(0)]  # [V, S, S, 3, 2]
        uv = (corners * barycentric[..., None]).sum(-2)
        column, row = (SPOTS * uv).long().clamp(0, SPOTS - 1).unbind(-1)
        spot = (SPOTS * row + column).flatten()
        values = squareness.flatten()
        best = values.new_zeros(SPOTS**2).scatter_reduce(0, spot, values, "amax")[spot]
        low, high = OUTDONE
        return ((values / best.clamp_min(1e-6) - low) / (high - low)).clamp(0, 1).view(squareness.shape)

    def _state(self, cache: Avat3rCache, capture: PosedImages) -> _Pixels:
        """What is known of the pixels, and behind them what the network guesses where no photo shows a texel."""
        texture, texels, rig = capture.texture, self.texels, capture.rig
        anchors = texels.positions(rig.neutral)[texels.valid]
        with self.precision():
            splats = self.network.guess(cache, texels.uv, anchors[None], texture.colors[None])
        spread = texels.spread(rig)[texels.triangles]
        backdrop = bind_to_rig(person(splats), rig, texels.triangles, texels.barycentrics, spread, texture.presence)
        return _Pixels(cache, backdrop, spread)

    def densified(
        self,
        encoded: Encoded,
        neutral: BoundGaussians,
        eigenbasis: Eigenbasis | None,
        painted: Painted,
        shown: np.ndarray,
    ) -> Densified:
        """The pixels as they are, and behind them what they do not show, at full density."""
        pixels = torch.arange(len(neutral), device=self.device) < len(encoded.triangles)
        unseen = torch.from_numpy((painted.texture.seen < HALF) & (painted.presence > 0)).to(self.device)
        density, texture, state = Density(self.texels, painted), encoded.texture, encoded.state
        backdrop = density.carried(state.backdrop, state.spread, texture.presence, texture.colors)
        gaussians = concatenate(select(neutral, pixels), select(backdrop, unseen))
        cover = torch.cat((encoded.spread, torch.from_numpy(painted.scales).float().to(self.device)[unseen]))
        if eigenbasis is not None:
            eigenbasis = replace(eigenbasis, basis=eigenbasis.basis[:, pixels])
        nobody = torch.full((len(neutral),), -1, device=self.device)
        return Densified(gaussians, eigenbasis, cover, encoded.seen, nobody, encoded.pairs.numpy())


@torch.no_grad()
def _place_pixels(capture: PosedImages) -> tuple[torch.Tensor, ...]:
    """Every pixel's triangle [V, S, S], barycentrics [V, S, S, 3], position at rest [V, S, S, 3] in metres (0 for
    pixels that are not the person's), the standard deviation [V, S, S] of a Gaussian that just fills it, and how
    squarely it shows its triangle [V, S, S], the cosine to the normal, 0 beside the mesh.

    Which pixel of the mesh is nearest, scipy finds on the CPU: masks go there, places come back."""
    rig = capture.rig
    triangles, barycentrics = (each.clone() for each in capture.raster)
    places, footprints, squarenesses = [], [], []
    for view, (posed, viewmat, K) in enumerate(zip(capture.posed, capture.viewmats, capture.Ks, strict=True)):
        covered = capture.seen[view]
        beside = (capture.masks[view, 0] > INSIDE) & ~covered
        nearest = distance_transform_edt(~covered.cpu().numpy(), return_distances=False, return_indices=True)
        row, column = (torch.from_numpy(each).long().to(covered.device) for each in nearest)
        triangles[view], barycentrics[view] = triangles[view][row, column], barycentrics[view][row, column]
        flat, weights = triangles[view].flatten().clamp_min(0), barycentrics[view].flatten(0, 1)
        anchors = (posed[rig.faces[flat]] * weights[..., None]).sum(1)  # rest space, posed
        depth = (anchors @ viewmat[:3, :3].T + viewmat[:3, 3])[:, 2:]
        y, x = torch.meshgrid(*(torch.arange(n, device=covered.device) + 0.5 for n in covered.shape), indexing="ij")
        rays = torch.stack((x, y, torch.ones_like(x)), dim=-1).flatten(0, 1) @ torch.linalg.inv(K).T
        points = (rays * depth - viewmat[:3, 3]) @ viewmat[:3, :3]
        at = torch.where(beside.flatten()[:, None], points, anchors)
        wanted = (covered | beside).flatten() & ((at - anchors).norm(dim=1) < BEYOND)
        plain = at.new_zeros(int(wanted.sum()))
        bound = bind(
            at[wanted], at.new_tensor([1.0, 0, 0, 0]).expand(len(plain), 4), plain[:, None].expand(-1, 3), plain,
            plain[:, None].expand(-1, 3), plain.byte(), posed, rig.faces, flat[wanted], weights[wanted],
        )  # fmt: skip
        rest = at.new_zeros(at.shape)
        frames, posed_areas = triangle_frames(posed, rig.faces)  # of the mesh that they are bound on
        toward = functional.normalize(-rays @ viewmat[:3, :3], dim=1)
        cosine = (frames[flat, :, 2] * toward).sum(1).clamp_min(0).view(covered.shape) * covered
        rest[wanted] = pose(bound, rig.neutral, rig.faces, posed_areas).means
        places.append(rest.view(*covered.shape, 3))
        # skin seen from the side is stretched over more than a pixel: without this it tears when it turns to us
        stretch = torch.where(covered, cosine, 1.0).clamp_min(GRAZING)
        footprints.append((FOOTPRINT * depth / K[0, 0]).view(covered.shape) / stretch)
        squarenesses.append(cosine)
    return triangles, barycentrics, torch.stack(places), torch.stack(footprints), torch.stack(squarenesses)


def _rehearse(config: Avat3r, count: int, device: torch.device) -> Rehearsal:
    """Avat3r: encode once, decode in every frame. DUSt3R's maps are the shell's, Sapiens' features noise."""
    height, width = square(config)
    photos, side = shell_photos(count, height, width, device), height // config.patch
    features = torch.randn(1, count, config.feature_width, side, side, device=device)
    confidence = photos.where.mask[:, :, 0]
    views = PositionedViews(photos.images, photos.positions, confidence, photos.viewmats, photos.Ks, features)
    motion = torch.rand(1, config.motion_width, device=device)
    network = built(Avat3rNetwork, config, device)

    def decode(cache: Any) -> Splats:
        splats, keep = only(network.decode(cache, motion)), cache.keep[0]
        return Splats(*(field[keep] for field in vars(splats).values()))

    return Rehearsal((network,), then(lambda: network.encode(views), decode), decode)


NETWORK = NetworkSpec(
    config=Avat3r,
    system=Avat3rSystem,
    losses=Losses(lpips=0.1),  # the paper's LPIPS, 0.01 late in 3.5 million steps, does nothing in a short training
    data=Data(timesteps="random"),
    contrasts=(
        Contrast("with > without position skip", {"position_skip": "false"}),
        Contrast("with > without colour skip", {"color_skip": "false"}),
        Contrast("random > same timesteps, photos of different expressions", data={"timesteps": "same"}, photos=(4,)),
    ),
    rehearse=_rehearse,
    published={
        "1 photo, create": "Avat3r 1.15 s (1-shot)",
        "4 photos, create": "Avat3r 12.3 s, most of it DUSt3R's",
        "1 photo, frame": "Avat3r 53 FPS (1-shot)",
        "4 photos, frame": "Avat3r 7.9 FPS (4-shot)",
    },
)
SPEC = SystemSpec(
    name="avat3r",
    label="Avat3r",
    description="Network that turns the photos' pixels into Gaussians. For outlines and hair off the mesh; Gaussians "
    "also change with the expression",
    reconstruct=with_weights("avat3r", NETWORK),
    seconds=16.0,
    network=NETWORK,
    order=3,
)
