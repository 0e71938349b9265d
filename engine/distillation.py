"""MATCH on every frame of a sequence, distilled into a Gaussian eigenmodel that motion drives."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from engine.errors import HeadModelError, PhotoError
from engine.gaussians.eigenbasis import motion_features
from engine.gaussians.gaussians import BoundGaussians
from engine.heads.parametric import JOINTS, MOUTH_INSIDE, ParametricHead
from engine.models.head_gaussians import HeadGaussians
from engine.models.kit.gem import GEM, TRAINING_STEPS, Regressor, eigenmodel, train_regressor
from engine.models.learned.posed_images import PosedImages
from engine.models.learned.reconstruct import reconstruct_with, trained
from engine.models.learned.system import Encoded
from engine.models.learned.texel_system import TexelSystem
from engine.photos.photo import Photo
from engine.progress import Progress
from engine.systems.match import NETWORK, MatchSystem
from engine.tracking.tracked import Tracked

COMPONENTS = 150  # arXiv 2603.15811, distillation; fewer frames give fewer
STILL = ("neck", "scalp", "torso")
SEED = 0  # of the regressor's training
LOOKED, LEARNED = 0.3, 0.5  # shares of the stage between which frames are looked at, as ``reconstruct_with`` counts


@dataclass(frozen=True)
class Distilled:
    """What a sequence came to: the eigenmodel, and what asks for its directions."""

    gem: GEM
    regressor: Regressor


class GEMSystem(TexelSystem):
    """MATCH's distillation (arXiv 2603.15811), as a system whose photos are a sequence.

    MATCH looks at every frame together with those that show the head best from the front and both sides (ours: the
    paper's frames are of many cameras, ours of one), all on the mesh and with the painted colours of the whole
    sequence; it answers at rest, so that nothing needs to be un-posed. Means and bases are not optimised against the
    photos here; refinement does that for the finished head's means.

    Args:
        match: trained. progress: of the stage that looks at the photos.
        components: K at most. training_steps: of the regressor.

    Attributes:
        moves: after encoding, whether any change of the frames follows from the motion; it does not in short sequences.
    """

    moves = True

    def __init__(
        self,
        match: MatchSystem,
        progress: Progress,
        components: int = COMPONENTS,
        training_steps: int = TRAINING_STEPS,
    ):
        super().__init__(match.texels.head, match.texels.atlas.resolution, match.photo_size)
        self.match, self.network = match, match.network
        self.progress, self.components, self.training_steps = progress, components, training_steps

    def encode(self, capture: PosedImages) -> Encoded:
        """Raises: PhotoError: there is but one photo."""
        count, companions = len(capture.images), around(capture)
        if count < 2:
            raise PhotoError("One photo does not show how a face moves.", "Give a clip or several photos.")
        codes, frames = capture.motions, []
        for number in range(count):
            one = self.match.encode(only(capture, sorted({number, *companions})))
            frames.append(self.match.animate(one, codes[number]))
            self.progress.update(LOOKED + (LEARNED - LOOKED) * 0.8 * (number + 1) / count)
        still, mouth = (self._texels_of(regions) for regions in (STILL, MOUTH_INSIDE))
        gem = eigenmodel(frames, self.components, still, mouth)
        before_end = LEARNED - (LEARNED - LOOKED) * 0.2
        regressor = train_regressor(
            _features(codes),
            gem.coefficients,
            SEED,
            self.training_steps,
            on_step=lambda done: self.progress.update(before_end + (LEARNED - before_end) * done),
        )
        self.moves = bool(regressor.trust.any())
        return self.answer(capture, Distilled(gem, regressor))

    def animate(self, encoded: Encoded, code: torch.Tensor) -> BoundGaussians:
        """The eigenmodel already is in the triangles' frames."""
        state: Distilled = encoded.state
        return state.gem.at(state.regressor(_features(code)))

    def _texels_of(self, regions: Sequence[str]) -> torch.Tensor:
        """[N] bool, texels of triangles all of whose corners lie in the regions taken together."""
        head = self.texels.head
        inside = np.any([head.regions[region] for region in regions], axis=0)
        return torch.from_numpy(inside[head.faces].all(axis=1)).to(self.device)[self.texels.triangles]


def only(capture: PosedImages, photos: Sequence[int]) -> PosedImages:
    """A capture of some of the photos, on the rig and with the texture of all."""
    names = ("images", "masks", "viewmats", "Ks", "expressions", "joint_rotations")
    return replace(capture, **{name: getattr(capture, name)[list(photos)] for name in names})


def around(capture: PosedImages) -> set[int]:
    """The photos that show the head most from the front, its left and its right."""
    turned = capture.head_viewmats
    cameras = -(turned[:, :3, :3].transpose(-2, -1) @ turned[:, :3, 3:])[..., 0]
    yaw = torch.atan2(cameras[:, 0], cameras[:, 2])
    return {int(yaw.abs().argmin()), int(yaw.argmin()), int(yaw.argmax())}


def distil(
    photos: Sequence[Photo], tracked: Tracked, head: ParametricHead, progress: Progress, count: int
) -> HeadGaussians:
    """A sequence to a head that moves as it did, with the weights that come with the engine.

    For programs without the network, the regressor's motion becomes the linear eigenbasis that is nearest to it
    (``metrics["eigenbasis_db"]``); see :func:`engine.models.learned.reconstruct.reconstruct_with`, which also brings it
    to ``count`` texels and adds what the mattes show beyond.

    Args:
        photos: frames of one person, two at least; dozens with lively expressions serve best. tracked: theirs.
        head: the default one.

    Raises:
        PhotoError: there is but one photo. HeadModelError: another head. AssetError: there are no weights.
        Cancelled: the user asked to stop.
    """
    match = trained("match", NETWORK)
    assert isinstance(match, MatchSystem)
    if head.name != match.texels.head.name:
        raise HeadModelError(
            f"MATCH was trained on the default head and does not know {head.name}.", "Choose the default head."
        )
    model = reconstruct_with(GEMSystem(match, progress), photos, tracked, head, progress, count)
    # where a sequence moves none of the keys that the test of the eigenbasis moves, there is nothing to measure
    finite = {name: value for name, value in model.metrics.items() if math.isfinite(value)}
    return replace(model, metrics=finite)


def _features(codes: torch.Tensor) -> torch.Tensor:
    """Motion codes [..., 67] to motion features [..., 67]."""
    expression, rotations = codes.split((codes.shape[-1] - 3 * len(JOINTS), 3 * len(JOINTS)), dim=-1)
    return motion_features(expression, rotations.unflatten(-1, (-1, 3)))
