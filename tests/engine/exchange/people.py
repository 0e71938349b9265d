"""A synthetic person as a head with drawn eyes and mouth, and somewhere in space that its splats may be."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from engine.arkit import ARKIT_NAMES
from engine.avatar import Avatar
from engine.evaluation.angles import seen_face
from engine.exchange.similarity import Similarity
from engine.heads import load_head
from engine.heads.parametric import JOINTS
from engine.models.parts import close_lids, furnish
from engine.models.surface import surface
from engine.photos.photo import CROP
from engine.pipeline import Options, make_avatar
from engine.progress import Progress
from engine.rendering import Camera
from engine.synthetic import act
from engine.synthetic.portraits import true_tracking

SOMEWHERE = Similarity(7.3, Rotation.from_euler("xyz", [2.0, 0.7, -1.1]).as_matrix(), np.array([5.0, -2.0, 11.0]))


@lru_cache(maxsize=1)
def head() -> Avatar:
    """40 000 Gaussians, painted from one picture."""
    person = act(0, [(np.zeros(len(ARKIT_NAMES)), np.zeros((len(JOINTS), 3)))], CROP, directions=[(0.1, 0.05)])
    photos, model = [seen_face(person, 0)], load_head()
    tracked = true_tracking(person, [0])
    made = close_lids(furnish(surface(photos, tracked, model, Progress(), 40_000), photos, model), model)
    return make_avatar("Ada", model, made, photos, tracked, Options())


def moved(camera: Camera, space: Similarity) -> Camera:
    """A camera that sees in a space what it saw before everything was moved there."""
    viewmat = np.eye(4)
    viewmat[:3, :3] = camera.viewmat[:3, :3] @ space.rotation.T
    viewmat[:3, 3] = space.scale * camera.viewmat[:3, 3] - viewmat[:3, :3] @ space.shift
    return Camera(viewmat, camera.K, camera.width, camera.height)


def decibels(first: torch.Tensor, second: torch.Tensor) -> float:
    return float(-10 * torch.log10((first - second).square().mean()))
