"""Reads a face off pictures as they come: always the newest one, none waits."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from scipy.spatial.transform import Rotation

from engine.errors import EngineError
from engine.heads.parametric import ParametricHead
from engine.landmarker import Face
from engine.live.sample import Sample, sample_of
from engine.live.spec import Counts
from engine.performance.actor import COUNT, FREE, Actor, actor_of, beyond, observe
from engine.performance.eyes import looking, shut
from engine.performance.following import NOBODY, Follower, look
from engine.performance.reading import COLUMNS, LEFT_OVER, LOST, Sight, fit_frame, row_of
from engine.photos.identity import embed
from engine.threads import share_cores
from engine.tracking import PORTRAIT_FOCAL
from engine.tracking.solver import Fit

STEPS = 3  # of the solver, from the picture before: half of a clip's, since being late costs more than being off
SIGHTS = 10  # pictures of the resting face, from which the actor is known
WINDOW = 300  # pictures, over which an eye's usual opening is judged
GRACE = 2.0  # s in which a camera's thread ends

Picture = tuple[float, np.ndarray]
"""Seconds, and [H, W, 3] uint8 sRGB."""


class Newest:
    """The newest of pictures that a thread fetches; ``skipped`` counts those that nobody took.

    Args:
        pictures: their end is the source's. What it raises, too; its text is shown.
    """

    def __init__(self, pictures: Iterator[Picture]):
        self.skipped = 0
        self.ended = ""
        self._changed = threading.Condition()
        self._picture: Picture | None = None
        self._closed = False
        self._thread = threading.Thread(target=self._fetch, args=(pictures,), name="pictures", daemon=True)
        self._thread.start()

    def take(self, seconds: float) -> Picture | None:
        """The newest picture that was not taken yet; waits for one for at most so long."""
        with self._changed:
            self._changed.wait_for(lambda: self._picture is not None or self.ended, seconds)
            picture, self._picture = self._picture, None
            return picture

    def close(self) -> None:
        self._closed = True
        self._thread.join(GRACE)

    def _fetch(self, pictures: Iterator[Picture]) -> None:
        why = "The clip is over."
        try:
            for picture in pictures:
                with self._changed:
                    self.skipped += self._picture is not None
                    self._picture = picture
                    self._changed.notify()
                if self._closed:
                    break
        except EngineError as error:
            why = str(error)
        except Exception as error:  # a decoder's own; nobody else would tell
            why = f"The pictures cannot be read ({error}). Use another camera or clip."
        with self._changed:
            self.ended = why
            self._changed.notify()


@dataclass(frozen=True)
class _Known:
    """The actor, and what their resting face does not explain: weights [52], turns of the eyes [2, 3], and what takes
    the networks' head rotation to the solver's."""

    actor: Actor
    weights: np.ndarray
    eyes: np.ndarray
    front: Rotation


class Watcher:
    """A :class:`~engine.live.spec.Feed` of pictures: the first second shows who acts, at rest."""

    def __init__(self, pictures: Iterator[Picture], head: ParametricHead):
        share_cores()
        self.counts = Counts(problem="Look into the camera, at rest.")
        self._newest = Newest(pictures)
        self._head = head
        self._met: list[tuple[Face, np.ndarray]] = []
        self._known: _Known | None = None
        self._follower: Follower | None = None
        self._before: Fit | None = None
        self._apertures: deque[np.ndarray] = deque(maxlen=WINDOW)
        self._lost = 0

    def read(self, seconds: float) -> list[Sample]:
        picture = self._newest.take(seconds)
        self.counts.dropped = self._newest.skipped + self._lost
        if picture is None:
            self.counts.ended = self._newest.ended
            if self.counts.ended:
                time.sleep(seconds)  # whoever asks for more gets no answer sooner than of a source that waits
            return []
        if self._known is None or self._follower is None:
            self._meet(picture[1])
            return []
        sample = self._watch(self._known, self._follower, *picture)
        self._lost += sample is None
        return [] if sample is None else [sample]

    def close(self) -> None:
        self._newest.close()

    def _meet(self, image: np.ndarray) -> None:
        if faces := look(image):
            self._met.append((max(faces, key=lambda face: face.height), image))
        if len(self._met) < SIGHTS:
            return
        count = len(self._head.expression_names)
        seen = [observe(face, image, count, PORTRAIT_FOCAL) for face, image in self._met]
        known = [embed(image, face.landmarks) for face, image in self._met]
        actor = actor_of(seen, known, self._head, neutral=True)
        rows = np.array([_row(actor, 0.0, face, image, None)[0] for face, image in self._met])
        weights, solved, looked, left, right, apertures, _ = np.split(rows, COLUMNS, axis=1)
        rest = np.where(FREE, np.median(weights, axis=0), 0.0).clip(0, LEFT_OVER)
        eyes = np.median(np.stack([left, right], axis=1), axis=0)
        front = (Rotation.from_rotvec(looked).inv() * Rotation.from_rotvec(solved)).mean()
        self._apertures.extend(apertures)
        self._known, self._follower = _Known(actor, rest, eyes, front), Follower(actor.embedding)
        self._met.clear()
        self.counts.problem = ""

    def _watch(self, known: _Known, follower: Follower, moment: float, image: np.ndarray) -> Sample | None:
        face = follower.see(image)
        if face is None:
            self._before = None
            self.counts.problem = follower.missed.capitalize()
            return None
        row, self._before = _row(known.actor, moment, face, image, self._before)
        weights, _, looked, left, right, apertures, residual = np.split(row, COLUMNS)
        if residual[0] > LOST:
            self._before = None
            self.counts.problem = NOBODY.capitalize()
            return None
        self.counts.problem = ""
        self._apertures.append(apertures)
        eyes = np.stack([left, right]) - known.eyes
        # only the last one counts; the others tell how wide this actor's eyes are open
        many = np.broadcast_to(beyond(weights, known.weights), (len(self._apertures), COUNT))
        blinking = shut(many, np.array(self._apertures))[-1:]
        head = (Rotation.from_rotvec(looked) * known.front).as_euler("xyz")
        return sample_of(moment, looking(blinking, list(eyes[:, None]))[0], np.stack([head, *eyes]))


def _row(actor: Actor, moment: float, face: Face, image: np.ndarray, before: Fit | None) -> tuple[np.ndarray, Fit]:
    seen = observe(face, image, actor.model.expression_basis.shape[-1], actor.lens)
    seen = replace(seen, scores=beyond(seen.scores, actor.rest))
    fit, residual = fit_frame(actor.model, seen, before, STEPS)
    return row_of(actor, Sight(moment, seen, face.rotation), fit, residual), fit
