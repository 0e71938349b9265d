"""Photometric refinement: the Gaussians against the photos, in so many iterations, bounded in every parameter."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import replace

import torch

from engine.device import CPU, moved
from engine.gaussians.binding import Placement, carry, place, triangle_frames
from engine.gaussians.eigenbasis import motion_features
from engine.gaussians.gaussians import PARTS, BoundGaussians, at_anchors
from engine.heads.parametric import ParametricHead
from engine.heads.portrait import vertex_normals
from engine.models.head_gaussians import HALF, HeadGaussians
from engine.models.reach import bounded, member, reach
from engine.models.surface.lighting import gains
from engine.photos.crop import Target, crop_matrix, crop_target, face_of
from engine.photos.photo import CROP, Photo
from engine.progress import Progress
from engine.refinement.bending import Bending
from engine.refinement.drawn import keep_drawn
from engine.refinement.healing import heal
from engine.refinement.smoothness import smoothness
from engine.splatting import rasterization, warm_up
from engine.ssim import ssim_map
from engine.tracking.posing import FreeView
from engine.tracking.tracked import View

ITERATIONS = 60  # for one photo; more changed nothing on other frames
SHARE_OF_FURTHER_PHOTO = 0.4  # of iterations and seconds, that every photo after the first adds
DECAY_AT, DECAY = 0.6, 0.3  # from this share of the budget on, learning rates shrink to this factor
RATES = {"colors": 0.01, "opacities": 0.03, "scales": 0.015, "offsets": 2e-4, "bend": 4e-4, "quats": 0.01}
VIEW_RATES = {"joint_rotations": 0.003, "light": 0.005, "expression": 0.004, "turn": 6e-4, "shift": 2e-4}
L1_WEIGHT, SSIM_WEIGHT, MATTE_WEIGHT = 0.8, 0.2, 0.5
STRAY = 0.05  # of sRGB's range, by which colours at the rim of what is seen may change: it must not become a dark seam
SCALE_PRIOR = 0.02
BLURRED = 2  # times the size that covers the skin: where a network's Gaussians are larger it only guessed their places
ASIDE = 0.6  # of the size that covers the skin, three quarters of the spacing: how far a Gaussian may move along it
LOOSE = 0.9  # the largest opacity to start from: the optimizer can hardly lower those near 1 (networks give 0.999)
LEAST = 1e-6  # m, of a Gaussian's own reach
EXPRESSION_PRIOR = 0.05
TRACE = 0.02  # of a pixel, below which a photo shows nothing of a Gaussian


def image_loss(rgb: torch.Tensor, alpha: torch.Tensor, target: Target, background: float) -> torch.Tensor:
    """L1 + SSIM over a plain background plus L1 of the matte; ``rgb`` [H, W, 3] is premultiplied."""
    image = rgb + (1 - alpha) * background
    goal = target.image + (1 - target.alpha) * background
    l1 = (image - goal).abs().mean()
    ssim = ssim_map(image.permute(2, 0, 1)[None], goal.permute(2, 0, 1)[None]).mean()
    return L1_WEIGHT * l1 + SSIM_WEIGHT * (1 - ssim) + MATTE_WEIGHT * (alpha - target.alpha).abs().mean()


class _Unknowns:
    """The Gaussians' free parameters, in the spaces in which they are optimised."""

    def __init__(self, start: HeadGaussians, head: ParametricHead):
        g = start.gaussians
        blurred = g.scales.amax(dim=1, keepdim=True) > BLURRED * start.cover.amax(dim=1, keepdim=True)
        self.start = replace(g, offsets=torch.where(blurred & ~start.fixed[:, None], 0.0, g.offsets))
        self.colors = g.colors.clone().requires_grad_()
        self.opacities = torch.logit(g.opacities.clamp(1e-3, LOOSE)).requires_grad_()
        self.scales = start.cover.log().requires_grad_()
        self.moves = torch.zeros_like(g.offsets).requires_grad_()  # in metres before the soft bound
        self.quats = g.quats.clone().requires_grad_()
        self.rest_scales = start.cover.log()
        self.fixed, self.start_owner = start.fixed, start.owner
        self.given, self.touched = g.opacities, torch.zeros_like(start.fixed)
        # What no photo shows well must not be painted to explain one, but may give way at the silhouette; what is drawn
        # is left alone altogether.
        self.unseen = (start.seen <= HALF) | self.fixed
        square = start.square[:, None]
        self.room = STRAY ** (1 - square)
        self.on_surface = g.parts == PARTS.index("surface")
        self.bending, self.bound = Bending(g, start.rig), reach(g, head)
        self.reach = self._reach(start, square, member(g, head, "torso"))

    def _reach(self, start: HeadGaussians, square: torch.Tensor, cloth: torch.Tensor) -> torch.Tensor:
        """[N, 3] metres that each Gaussian may move on its own, besides what the skin bends: along the skin by less
        than half a spacing, or neighbours change places, which hatches it; not at all where the leading photo does
        not see it squarely, or it would tear when the head turns. Cloth [N] is no such sheet.
        """
        found = self.bound.expand(-1, 3).clone()
        aside = (ASIDE * start.cover.amax(dim=1, keepdim=True)).expand(-1, 2)
        found[:, :2] = torch.where(self.on_surface[:, None], torch.minimum(found[:, :2], aside), found[:, :2])
        leading = (start.owner == start.shoot.leading) | (start.owner < 0)
        own = torch.where(self.on_surface & ~cloth, square[:, 0] * leading, 1.0)
        return (found * own[:, None]).clamp_min(LEAST)

    def groups(self) -> list[dict]:
        return [
            {"params": [self.colors], "lr": RATES["colors"]},
            {"params": [self.opacities], "lr": RATES["opacities"]},
            {"params": [self.scales], "lr": RATES["scales"]},
            {"params": [self.moves], "lr": RATES["offsets"]},
            {"params": [self.quats], "lr": RATES["quats"]},
        ]

    def _free(self, photo: int) -> torch.Tensor:
        """[N] bool: what a photo has a say in."""
        return ((self.start_owner < 0) | (self.start_owner == photo)) & ~self.fixed

    def freeze(self, photo: int, shown: torch.Tensor) -> None:
        """Drop the gradients of what ``photo`` has no say in.

        Args:
            shown: [N] whether a Gaussian's centre is in the picture. Of others there is only what holds neighbours
                together, and Adam, for which any gradient is a step, would blur them all over.
        """
        anywhere = shown & self._free(photo)
        drawn = anywhere & ~self.unseen
        self.touched |= anywhere
        for parameters, kept in (
            ((self.colors, self.scales, self.quats), drawn),
            ((self.opacities, self.moves), anywhere),
        ):
            for parameter in parameters:
                if parameter.grad is not None:
                    parameter.grad *= kept.view(-1, *[1] * (parameter.ndim - 1))

    def gaussians(self, photo: int) -> BoundGaussians:
        """As they are now, for a ``photo`` that bends the skin where it owns it."""
        bend = self.bending.moves() * self.on_surface[:, None]
        bend = torch.where(self._free(photo)[:, None], bend, bend.detach())
        return replace(
            self.start,
            colors=self.start.colors + bounded(self.colors - self.start.colors, self.room),
            opacities=torch.sigmoid(self.opacities),
            scales=self.scales.exp(),
            offsets=self.start.offsets + bounded(self.moves, self.reach) + bounded(bend, self.bound),
            quats=self.quats,
        )

    def final(self) -> BoundGaussians:
        """The Gaussians as they ended; those that no photo had a say in as opaque as they were given."""
        ended = self.gaussians(0)
        ended = replace(
            ended,
            colors=ended.colors.clamp(0, 1),
            quats=torch.nn.functional.normalize(ended.quats, dim=1),
            opacities=torch.where(self.touched, ended.opacities, self.given),
        )
        return BoundGaussians(*(t.detach() for t in vars(ended).values()))

    def regularity(self, pairs: torch.Tensor) -> torch.Tensor:
        growth = self.scales - self.rest_scales
        return smoothness(self.moves, self.colors, pairs) + SCALE_PRIOR * growth.square().mean()

    @torch.no_grad()
    def take(self, part: _Unknowns, where: torch.Tensor) -> None:
        """Become as ``part``, which are those of a mask [N]; the others go along with the skin only."""
        for name in ("colors", "opacities", "scales", "moves", "quats", "touched"):
            getattr(self, name)[where] = getattr(part, name)
        self.bending.latent.copy_(part.bending.latent)


def _normals(start: HeadGaussians) -> torch.Tensor:
    """[N, 3] unit, of the neutral skin that carries the Gaussians."""
    faces = start.rig.faces.cpu().numpy()
    mean = at_anchors(start.gaussians, faces, vertex_normals(start.rig.neutral.cpu().numpy(), faces))
    return torch.nn.functional.normalize(torch.from_numpy(mean), dim=1).float().to(start.rig.neutral.device)


def _turns(photos: int, leading: int, iterations: int) -> list[int]:
    """Which photo each iteration looks at: the leading one ``iterations`` times, every other its share of that, all
    spread evenly."""
    counts = [iterations if i == leading else round(SHARE_OF_FURTHER_PHOTO * iterations) for i in range(photos)]
    return [i for _, i in sorted(((turn + 0.5) / count, i) for i, count in enumerate(counts) for turn in range(count))]


class _Camera:
    """A photo's view of a head.

    Args:
        held: whether pose and expression stay, so that where the mesh carries the Gaussians is looked up once.
    """

    def __init__(self, start: HeadGaussians, view: FreeView, held: bool):
        self.start, self.view = start, view
        self.rest_areas = triangle_frames(start.rig.neutral, start.rig.faces)[1]
        with torch.no_grad():
            self.held = self._place() if held else None

    def _place(self) -> tuple[Placement, torch.Tensor]:
        vertices, viewmat = self.view.place(self.start.rig)
        triangles = self.start.gaussians.triangles
        return place(triangles, vertices, self.start.rig.faces, self.rest_areas), viewmat

    def picture(self, gaussians: BoundGaussians, light: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, dict]:
        """Premultiplied sRGB [CROP, CROP, 3] and alpha [CROP, CROP, 1], colours under ``light``; what the rasteriser
        knows of the Gaussians."""
        placement, viewmat = self.held or self._place()
        if self.start.eigenbasis is not None:  # the motion itself stays as it is
            features = motion_features(self.view.expression.clamp(0, 1), self.view.joint_rotations)
            gaussians = self.start.eigenbasis.apply(gaussians, features)
        splats = carry(gaussians, placement)
        renders, alphas, meta = rasterization(
            splats.means, splats.quats, splats.scales, splats.opacities, splats.colors * light,
            viewmat[None], crop_matrix(self.view.K)[None], CROP, CROP,
        )  # fmt: skip
        return renders[0, ..., :3], alphas[0], meta


def _traced(start: HeadGaussians, unknowns: _Unknowns, views: Sequence[FreeView], progress: Progress) -> torch.Tensor:
    """[N] bool: what any photo shows a trace of, as refinement begins."""
    shown = torch.zeros_like(start.fixed)
    for i, view in enumerate(views):
        progress.update(0.0)  # of many photos this takes seconds, in which the user may cancel
        with torch.no_grad():
            gaussians = unknowns.gaussians(i)
        colors = torch.zeros_like(gaussians.colors).requires_grad_()
        camera = _Camera(start, view, held=True)
        camera.picture(replace(gaussians, colors=colors), colors.new_ones(1))[0].sum().backward()
        if colors.grad is not None:
            shown |= colors.grad[:, 0] > TRACE
    return shown


def refine(
    start: HeadGaussians,
    photos: Sequence[Photo],
    views: Sequence[View],
    head: ParametricHead,
    progress: Progress,
    iterations: int = ITERATIONS,
    seconds: float = math.inf,
) -> tuple[HeadGaussians, tuple[View, ...]]:
    """Optimise the Gaussians against the photos they came from.

    The leading photo's pose and expression stay as tracked (appearance and pose would drift together); of the others,
    torso, expression, head pose and light are polished along. Each Gaussian is refined by the photo that owns it.

    It happens on the start's device; what is healed at the end, and each step's bending, is solved on the CPU.

    Args:
        iterations: for one photo; further photos add their share.
        seconds: the most that they may take, for one photo; further photos add their share. 0 returns the start.

    Returns:
        The refined Gaussians, on that device, and the views as they ended. Their metrics say how many ``rounds`` the
        time allowed, of the ``rounds_wanted``.
    """
    if seconds <= 0:
        return start, tuple(views)
    warm_up()  # what is compiled now does not count
    free = [FreeView.of(view, start.rig) for view in views]
    everything = _Unknowns(start, head)
    traced = _traced(start, everything, free, progress)
    whole, start = start, start.kept(traced)  # what no photo shows costs as much as the rest, and changes nothing
    unknowns = _Unknowns(start, head)
    weight = float(traced.float().mean())  # of what holds neighbours together, which is meant for all of a head
    device = start.rig.neutral.device
    lights = [torch.from_numpy(light).float().to(device) for light in start.shoot.lights]
    normals = _normals(start)
    groups = unknowns.groups()
    for i, view in enumerate(free):
        if i != start.shoot.leading:
            for name in ("joint_rotations", "expression", "turn", "shift"):
                groups.append({"params": [getattr(view, name).requires_grad_()], "lr": VIEW_RATES[name]})
            groups.append({"params": [lights[i].requires_grad_()], "lr": VIEW_RATES["light"]})
    tracked_expressions = [view.expression.detach().clone() for view in free]
    targets = [
        moved(crop_target(photo) if alike else face_of(crop_target(photo), photo), device)
        for photo, alike in zip(photos, start.shoot.alike, strict=True)
    ]
    cameras = [_Camera(start, view, held=i == start.shoot.leading) for i, view in enumerate(free)]
    with torch.no_grad():
        for i, (photo, target) in enumerate(zip(photos, targets, strict=True)):
            begun_as = unknowns.gaussians(i)
            drawn = replace(begun_as, colors=start.fixed[:, None].float().expand(-1, 3))
            shown = cameras[i].picture(drawn, lights[i].new_ones(1))[0][..., :1]
            targets[i] = keep_drawn(target, photo, *cameras[i].picture(begun_as, gains(lights[i], normals))[:2], shown)
    optimizer = torch.optim.Adam(groups, betas=(0.9, 0.99), eps=1e-15, fused=True)
    rates = [group["lr"] for group in optimizer.param_groups]
    budget = 1 + SHARE_OF_FURTHER_PHOTO * (len(photos) - 1)
    turns = _turns(len(photos), start.shoot.leading, iterations)
    begun, rounds = time.perf_counter(), 0
    for iteration, i in enumerate(turns):
        done = max(iteration / len(turns), (time.perf_counter() - begun) / (seconds * budget))
        if done >= 1:
            break
        progress.update(done)
        pace = DECAY if done > DECAY_AT else 1.0
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = rate * pace
        rgb, alpha, meta = cameras[i].picture(unknowns.gaussians(i), gains(lights[i], normals))
        valid = targets[i].valid
        loss = image_loss(rgb * valid, alpha * valid, targets[i], background=float(iteration % 4 < 2))
        loss = loss + weight * unknowns.regularity(start.pairs)
        if i != start.shoot.leading:
            loss = loss + EXPRESSION_PRIOR * (free[i].expression - tracked_expressions[i]).square().mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        places = meta["means2d"][0]
        unknowns.freeze(i, ((places > 0) & (places < CROP)).all(dim=-1))  # left out ones are at 0
        optimizer.step()
        unknowns.bending.step(RATES["bend"] * pace)
        rounds += 1
    everything.take(unknowns, traced)
    with torch.no_grad():
        final = moved(heal(moved(whole, CPU), moved(everything.final(), CPU), head), device)
    ended = tuple(view.fixed(start.rig, old.residual) for view, old in zip(free, views, strict=True))
    metrics = {**start.metrics, "rounds": float(rounds), "rounds_wanted": float(len(turns))}
    return replace(whole, gaussians=final, metrics=metrics), ended
