"""Who acts in a clip: their face at rest, their lens, and who they are."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from engine.arkit import ARKIT_NAMES
from engine.errors import PhotoError
from engine.heads.parametric import ParametricHead
from engine.heads.portrait import Eyeball, eyeballs
from engine.landmarker import Face
from engine.performance.following import look
from engine.photos.clips import clip_frames
from engine.photos.identity import embed
from engine.photos.outliers import SAME_PERSON
from engine.progress import Progress
from engine.tracking import PORTRAIT_FOCAL, SOURCE_SIGMA, observation, personal
from engine.tracking.solver import LandmarkModel, Observation, landmark_model, solve

LOOKED_AT, ACTOR_FRAMES = 24, 6  # frames spread over the clip, and how many of them tell the actor's shape
FACE = 240.0  # px, the height that every face is scaled to: what the solver's bounds are made for
REST_SIGMA = 0.05  # of weights around the networks' scores, at rest
CALM, ROUNDS = 0.15, 2  # of the frames, in which the face does least; fits of the resting face to them
REST_MOST = 0.85  # a score that is larger in the resting face than this is no one's rest
COUNT = len(ARKIT_NAMES)
FREE = np.array([not name.startswith("eyeLook") for name in ARKIT_NAMES])  # what a resting face does not do


@dataclass(frozen=True)
class Actor:
    """Who acts: landmarks of the resting face, focal length over the frame's longer side, the networks' scores [E] at
    rest, eyeballs, SFace identity."""

    model: LandmarkModel
    lens: float
    rest: np.ndarray
    eyes: tuple[Eyeball, Eyeball]
    embedding: np.ndarray


def meet(path: Path, length: int, head: ParametricHead, neutral: bool, progress: Progress) -> Actor:
    """The person whom a clip of ``length`` frames shows most, from frames that show much of them."""
    numbers = np.unique(np.linspace(0, length - 1, min(length, LOOKED_AT)).round().astype(int)).tolist()
    seen: list[Observation] = []
    known: list[np.ndarray] = []
    for done, (_, image) in enumerate(clip_frames(path, numbers), start=1):
        for face in look(image):
            seen.append(observe(face, image, len(head.expression_names), PORTRAIT_FOCAL))
            known.append(embed(image, face.landmarks))
        progress.update(0.9 * done / len(numbers))
    if not seen:
        raise PhotoError(
            f"No face found in {path.name}, of which {len(numbers)} frames were looked at.",
            "Use a clip in which the actor's face is seen from the front, well lit and in focus.",
        )
    return actor_of(seen, known, head, neutral)


def actor_of(seen: list[Observation], known: list[np.ndarray], head: ParametricHead, neutral: bool) -> Actor:
    """The person whom most of the sights are of.

    Args:
        seen: at least one, by :func:`observe` with :data:`~engine.tracking.PORTRAIT_FOCAL`. known: their embeddings.
        neutral: the calmest sights count as the resting face.
    """
    alike = np.array(known) @ np.array(known).T >= SAME_PERSON
    mine = np.flatnonzero(alike[alike.sum(axis=1).argmax()])
    mine = mine[np.argsort([seen[i].scores[:COUNT][FREE].sum() for i in mine])]  # the calmest first
    spread = mine[np.unique(np.linspace(0, len(mine) - 1, ACTOR_FRAMES).round().astype(int))]
    chosen = [seen[i] for i in spread]
    identity, fits = solve(landmark_model(head), chosen, expression_sigma=SOURCE_SIGMA, fit_focal=True)
    lens = PORTRAIT_FOCAL * float(np.median([fit.focal / s.focal for fit, s in zip(fits, chosen, strict=True)]))
    calm = [seen[i] for i in mine[: max(1, round(CALM * len(mine)))]]
    calm = [replace(s, focal=s.focal * lens / PORTRAIT_FOCAL) for s in calm]
    rest = np.median([s.scores for s in calm], axis=0)
    rest[:COUNT][~FREE] = 0
    rest = np.where(neutral & (rest < REST_MOST), rest, 0.0)
    calm = [replace(s, scores=beyond(s.scores, rest)) for s in calm]
    shape = (head.template + np.tensordot(identity, head.identity_basis, axes=1)).astype(np.float32)
    for _ in range(ROUNDS):
        model = landmark_model(head, shape)
        _, fits = solve(model, calm, expression_sigma=REST_SIGMA, fit_focal=False)
        offsets = personal.landmark_offsets(model, np.zeros(0), fits, calm)
        shape = (shape + personal.spread(head, shape, model.positions, offsets)).astype(np.float32)
    embedding = np.mean([known[i] for i in spread], axis=0)
    eyes = eyeballs(shape.astype(np.float64), head.regions["eyes"])
    return Actor(landmark_model(head, shape), lens, rest, eyes, embedding / np.linalg.norm(embedding))


def beyond(scores: np.ndarray, rest: np.ndarray) -> np.ndarray:
    """[E] scores without what the resting face has of them; what remains still reaches 1."""
    return ((scores - rest) / (1 - rest)).clip(0, 1)


def observe(face: Face, image: np.ndarray, expressions: int, lens: float) -> Observation:
    """What is seen of a face, as if it had the usual size."""
    scale = FACE / face.height
    height, width = image.shape[:2]
    center, focal = scale * np.array([width, height]) / 2, scale * lens * max(height, width)
    return observation(scale * face.landmarks, face.scores, expressions, center, focal)
