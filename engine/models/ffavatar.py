"""FFAvatar (Yao et al., arXiv 2606.30347): tracked photos, more at any time, to Gaussians at vertices and texels."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import nn

from engine.gaussians.gaussians import Splats
from engine.models.kit.activation import OBSERVED, GaussianHeads, GaussianTable, activate, on_the_surface
from engine.models.kit.blocks import AlternatingPair, Block, BlockConfig
from engine.models.kit.conditions import CAMERA, MOTION, VectorTokens, camera_codes
from engine.models.kit.encoders import PATCH, VIT_L16, Dino, DinoConfig
from engine.models.kit.memory import TokenMemory
from engine.models.kit.motion import ResidualMotion
from engine.models.kit.points import PointEmbedding, SurfacePoints, point_code
from engine.models.kit.rotary import grid_rotation

BACKGROUND = 1.0  # white; that it is removed is the paper's, its colour ours


@dataclass(frozen=True)
class FFAvatar:
    """The method's choices. Nearly all sizes are ours: no source gives them (arXiv 2606.30347).

    Attributes:
        image_size: px per side of the photos, a multiple of 16.
        encoder: DINOv3's (its size is ours).
        width: channels of a token. heads: per attention. pairs: of attention within and across photos.
        motion_width: numbers of a motion code. code_width: hidden channels on the way to camera and motion tokens.
        resolution: texels per side of the UV map on which points are densified.
        waves: of the point code. feature_width: channels of a Gaussian's feature.
        points: "sparse_to_dense": vertices read the photos, then vertices and texels. The paper's ablations:
            "dense": all points from the start; "sparse": only vertices.
        residual_motion: False leaves out the motion refinement module (the paper's ablation; its fast variant).
        residual_width: hidden channels of that module.
        sees_camera: whether that module knows the viewing direction, as in the paper. A rig's basis cannot.
        color: "direct" as in the paper; "mix" also sees the photos' colours at every point, and starts from them (ours:
            a small network cannot paint).
        on_surface: Gaussians start as those of the ``surface`` system, see
            :func:`engine.models.kit.activation.on_the_surface` (ours: for short trainings).
    """

    image_size: int
    encoder: DinoConfig
    width: int
    heads: int
    pairs: int
    motion_width: int
    code_width: int
    resolution: int
    waves: int
    feature_width: int
    points: Literal["sparse_to_dense", "dense", "sparse"]
    residual_motion: bool
    residual_width: int
    sees_camera: bool
    color: Literal["direct", "mix"] = "direct"
    on_surface: bool = False

    @classmethod
    def paper(cls) -> FFAvatar:
        """512² photos and UV 256 (S2D-64K) are the paper's; FLAME's 100 expressions and 5 joints; the rest is ours."""
        return cls(
            image_size=512,
            encoder=VIT_L16,
            width=768,
            heads=12,
            pairs=8,
            motion_width=115,
            code_width=256,
            resolution=256,
            waves=8,
            feature_width=256,
            points="sparse_to_dense",
            residual_motion=True,
            residual_width=256,
            sees_camera=True,
        )

    @classmethod
    def small(cls) -> FFAvatar:
        """Ours: photos of 256², UV 192; the encoder is trained along, from nothing."""
        return cls(
            image_size=256,
            encoder=DinoConfig(128, 4, 4, frozen=False),
            width=160,
            heads=5,
            pairs=3,
            motion_width=MOTION,
            code_width=64,
            resolution=192,
            waves=7,
            feature_width=64,
            points="sparse_to_dense",
            residual_motion=True,
            residual_width=64,
            sees_camera=False,
            color="mix",
            on_surface=True,
        )

    @classmethod
    def tiny(cls) -> FFAvatar:
        """For ablations: photos of 128², UV 128."""
        encoder = DinoConfig(64, 4, 2, frozen=False)
        return replace(cls.small(), image_size=128, encoder=encoder, width=96, heads=3, pairs=2, resolution=128)

    @property
    def table(self) -> GaussianTable:
        """Ours: as UIKA's, offsets start at 0, opacities at 0.1, scales at 6.7 mm."""
        if self.on_surface:
            return on_the_surface(self.color, reach=0.1)
        color = (0.0,) * (4 if self.color == "mix" else 3)
        return GaussianTable(
            offset_range=0.1,
            scale="exp",
            scales=(1e-5, 0.01),
            opacity_shift=0.0,
            color=self.color,
            gains=(0.0, 0.1, 0.1, 0.1, 1.0),
            biases=((0.0,) * 3, (-5.0,) * 3, (1.0, 0.0, 0.0, 0.0), (math.log(0.1 / 0.9),), color),
        )


@dataclass(frozen=True)
class TrackedViews:
    """B people in V photos of S × S each, any camera, expression and light.

    Attributes:
        images: [B, V, 3, S, S] RGB 0..1. masks: [B, V, 1, S, S] mattes.
        viewmats: [B, V, 4, 4] head to camera. Ks: [B, V, 3, 3] pixels.
        motions: [B, V, E] motion codes as tracked.
    """

    images: torch.Tensor
    masks: torch.Tensor
    viewmats: torch.Tensor
    Ks: torch.Tensor
    motions: torch.Tensor


@dataclass(frozen=True)
class Appearance:
    """P Gaussians before motion: all that a frame needs.

    Attributes:
        anchors: [P, 3] metres, where they lie at offset 0. features: [B, P, F].
        raw: per attribute [B, P, channels], before activation. colors: [B, P, 3] as observed, or None.
    """

    anchors: torch.Tensor
    features: torch.Tensor
    raw: dict[str, torch.Tensor]
    colors: torch.Tensor | None


class FFAvatarNetwork(nn.Module):
    """Photos to a memory, a memory to an appearance, an appearance and a motion to Gaussians in the rest pose.

    The rig then carries the Gaussians along with their triangles: a vertex's with any triangle at it.
    """

    def __init__(self, config: FFAvatar):
        super().__init__()
        self.config, self.table = config, config.table
        width = config.width
        self.encoder = Dino(config.encoder)
        self.project = nn.Linear(config.encoder.width, width)
        self.camera_token = VectorTokens(CAMERA, (config.code_width,), 1, width)
        self.motion_token = VectorTokens(config.motion_width, (config.code_width,), 1, width)
        alternating = BlockConfig(width, config.heads, qk_norm="layer_head", layer_scale=0.01)
        self.pairs = nn.ModuleList(AlternatingPair(alternating) for _ in range(config.pairs))
        self.embed_points = PointEmbedding(config.waves, width)
        reading = BlockConfig(width, config.heads, qk_norm="layer_head", cross=True)
        self.read_coarse, self.read_fine = Block(reading), Block(reading)
        painted = OBSERVED * (config.color == "mix")
        self.norm = nn.LayerNorm(width, eps=1e-5)
        self.decode = nn.Sequential(
            nn.Linear(width + painted, config.feature_width),
            nn.SiLU(),
            nn.Linear(config.feature_width, config.feature_width),
            nn.SiLU(),
        )
        self.heads = GaussianHeads(self.table, config.feature_width, color_width=painted)
        if config.residual_motion:
            self.residual = ResidualMotion(
                6 * config.waves + config.feature_width,
                config.motion_width + (3 if config.sees_camera else 0),
                sum(self.table.channels.values()),
                config.residual_width,
            )

    def forward(
        self,
        views: TrackedViews,
        points: SurfacePoints,
        motion: torch.Tensor,
        direction: torch.Tensor | None = None,
        observed: torch.Tensor | None = None,
    ) -> Splats:
        """Photos to Gaussians under a motion; see :meth:`remember`, :meth:`appear` and :meth:`move`."""
        return self.move(self.appear(self.remember(views), points, observed), motion, direction)

    def remember(self, views: TrackedViews, weights: str = "") -> TokenMemory:
        """What each photo says by itself; ``weights`` names this network's weights in what is saved."""
        images = views.images * views.masks + BACKGROUND * (1 - views.masks)
        (patches,) = self.encoder(images.flatten(0, 1))
        patches = self.project(patches).unflatten(0, images.shape[:2])  # [B, V, L, C]
        height, width = images.shape[-2:]
        camera = self.camera_token(camera_codes(views.viewmats, views.Ks, height, width))  # [B, V, 1, C]
        tokens = torch.cat((camera, self.motion_token(views.motions), patches), dim=2)
        return TokenMemory(tokens, height // PATCH, weights)

    def aggregate(self, memory: TokenMemory) -> torch.Tensor:
        """[B, V · (2 + L), C], the global appearance: photos compare within and across, in no order."""
        x = memory.tokens
        columns = (x.shape[2] - 2) // memory.rows
        rotation = grid_rotation(memory.rows, columns, self.config.width // self.config.heads, x.device).after(2)
        for pair in self.pairs:
            x, _ = pair(x, rotation)
        return x.flatten(1, 2)

    def appear(self, memory: TokenMemory, points: SurfacePoints, observed: torch.Tensor | None = None) -> Appearance:
        """Points of the head read the photos: P = V + M of them, V for "sparse".

        Args:
            observed: [B, P, 4] the photos' colours at the points and how sure they are, 0..1; only for "mix".
        """
        photos = self.aggregate(memory)
        anchors = points.vertices if self.config.points == "sparse" else points.positions
        places = self.embed_points(anchors)  # [P, C]
        if self.config.points == "sparse_to_dense":
            first = len(points.vertices)
            coarse = self.read_coarse(places[:first].expand(len(photos), -1, -1), photos)  # [B, V, C]
            # texels also get their own place, which the mixed features only know coarsely (ours)
            fused = torch.cat((coarse, points.densify(coarse) + places[first:]), dim=1)
        else:
            fused = self.read_coarse(places.expand(len(photos), -1, -1), photos)
        read, colors = self.norm(self.read_fine(fused, photos)), None
        if observed is not None:
            read, colors = torch.cat((read, observed), dim=-1), observed[..., :3]
        features = self.decode(read)
        return Appearance(anchors, features, self.heads(features, observed), colors)

    def move(self, appearance: Appearance, motion: torch.Tensor, direction: torch.Tensor | None = None) -> Splats:
        """A motion code [B, E] and, where the module sees it, the unit direction [B, 3] from head to camera.

        Returns:
            Splats with fields [B, P, ...] in the rest pose; colours in 0..1. Without the module nothing changes.
        """
        assert not self.config.residual_motion or (direction is not None) == self.config.sees_camera
        raw = appearance.raw
        if self.config.residual_motion:
            code = point_code(appearance.anchors, self.config.waves).expand(len(motion), -1, -1)
            at_points = torch.cat((code, appearance.features), dim=-1)
            frame = motion if direction is None else torch.cat((motion, direction), dim=-1)
            change = self.table.split(self.residual(at_points, frame))
            raw = {name: each + change[name] for name, each in raw.items()}
        return activate(self.table, raw, appearance.anchors, appearance.colors)
