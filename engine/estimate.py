"""How far a reconstruction is and how long it will still take, from what each stage typically costs."""

from __future__ import annotations

import math
from collections.abc import Mapping

from engine.pipeline import QUALITIES, Options
from engine.refinement import SHARE_OF_FURTHER_PHOTO
from engine.systems import systems

REFINEMENT = "refinement"
PACE_PRIOR = 1.0  # expected seconds that count as measured before anything is: the first stages tell little
SMOOTHING = 0.3  # weight of a new estimate against the one shown
OVERDUE = 0.5  # of the time that a silent stage took too long: what it is then said to take still


def typical_seconds(options: Options, images: int, clips: int) -> dict[str, float]:
    """Seconds of every stage of a reconstruction with its file written, in order, on two CPU cores (docs/measured.md).

    Args:
        images, clips: how many of each are given.
    """
    photos = images + clips * options.frames
    further = 1 + SHARE_OF_FURTHER_PHOTO * (photos - 1)
    iteration = 0.17 + 1.03e-6 * options.gaussians  # hair and torso included
    spec = options.equipped
    own = min(spec.own_refinement, options.own_seconds)
    gaussians = spec.seconds + spec.seconds_per_gaussian * options.gaussians
    if spec.network_seconds is not None:
        gaussians += spec.network_seconds(photos)
    return {
        "photos": 0.6 * photos + 4.0 * clips,
        "head model": 0.3,
        "tracking": 0.3 + 0.1 * photos,
        options.system: gaussians + 0.4 * photos + own,
        REFINEMENT: min(options.iterations * iteration, options.rest_seconds) * further,
        "avatar": 0.1,
        "files": 1.0,
    }


def typical_table() -> dict[str, dict[str, tuple[float, float, float]]]:
    """By system and quality, on two CPU cores: seconds for one photo, for each further one, and for each clip."""

    def total(options: Options, images: int, clips: int) -> float:
        return sum(typical_seconds(options, images, clips).values())

    table: dict[str, dict[str, tuple[float, float, float]]] = {}
    for name in systems():
        for quality in QUALITIES:
            options = Options(name, quality=quality)
            one = total(options, 1, 0)
            row = one, total(options, 2, 0) - one, total(options, 1, 1) - one
            table.setdefault(name, {})[quality] = row
    return table


def estimated(options: Options, images: int, clips: int) -> Estimate:
    """For a reconstruction that begins; see :func:`typical_seconds`."""
    photos = images + clips * options.frames
    limit = options.rest_seconds * (1 + SHARE_OF_FURTHER_PHOTO * (photos - 1))
    return Estimate(typical_seconds(options, images, clips), limit)


def estimated_acting(frames: int) -> Estimate:
    """For a performance that begins, of so many frames, on two CPU cores."""
    return Estimate({"head model": 0.3, "actor": 2.5, "performance": 0.5 + 0.038 * frames})


def estimated_speech() -> Estimate:
    """For a voice that becomes a take: how long it is only shows while it is read, so these are shares of it."""
    return Estimate({"sound": 0.5, "phones": 3.0, "lips": 0.5})


def estimated_pose() -> Estimate:
    """For a photo whose pose is read, on two CPU cores."""
    return Estimate({"head model": 0.3, "pose": 1.0})


class Estimate:
    """Turns stages and fractions into one fraction that never falls and a calm remaining time.

    Args:
        plan: expected seconds per stage, in the order in which they run.
        limit: seconds after which refinement ends, however far it is.

    Attributes:
        fraction: 0..1 of the whole.
        stage: the running one, "" before the first.
    """

    def __init__(self, plan: Mapping[str, float], limit: float = math.inf):
        self.plan, self.limit = dict(plan), limit
        self.stages = tuple(self.plan)
        self.fraction = 0.0
        self.stage = ""
        self._stage_began = 0.0
        self._expected = self._spent = PACE_PRIOR
        self._left: float | None = None
        self._at = 0.0

    @property
    def stage_index(self) -> int:
        """The running stage's place in the plan, from 0."""
        return self.stages.index(self.stage) if self.stage else 0

    def update(self, stage: str, fraction: float, now: float) -> None:
        """Take a report of :class:`engine.progress.Progress`.

        Args:
            stage: of the plan; others are not counted. fraction: 0..1 within the stage.
            now: seconds on a clock that never goes back.
        """
        if stage not in self.plan:  # a stage that nobody planned for costs the estimate, not the job
            return
        if stage != self.stage:
            self._close(now)
            self.stage, self._stage_began = stage, now
        place = self.stages.index(stage)
        before = sum(self.plan[name] for name in self.stages[:place])
        done = (before + self.plan[stage] * fraction) / sum(self.plan.values())
        self.fraction = max(self.fraction, done)
        new = self._rest_of_stage(fraction, now) + sum(self._expect(name) for name in self.stages[place + 1 :])
        shown = self.eta(now)
        self._left = new if shown is None else shown + SMOOTHING * (new - shown)
        self._at = now

    def eta(self, now: float) -> float | None:
        """Seconds left, counting down between reports, and up again where a stage takes longer than planned, as the
        first ever does (its code is compiled); None before the first report."""
        if self._left is None:
            return None
        late = max(now - self._at - self._expect(self.stage), 0.0)
        after = sum(self._expect(name) for name in self.stages[self.stage_index + 1 :])
        return max(self._left - (now - self._at), OVERDUE * late + after if late else 0.0)

    def _close(self, now: float) -> None:
        if self.stage and (self.stage != REFINEMENT or self.plan[REFINEMENT] < self.limit):
            self._expected += self.plan[self.stage]
            self._spent += now - self._stage_began

    def _expect(self, stage: str) -> float:
        seconds = self.plan[stage] * self.pace
        return min(seconds, self.limit) if stage == REFINEMENT else seconds

    @property
    def pace(self) -> float:
        """How much longer things took here than they typically do, so far."""
        return self._spent / self._expected

    def _rest_of_stage(self, fraction: float, now: float) -> float:
        planned = self._expect(self.stage) * (1 - fraction)
        if fraction <= 0:
            return planned
        measured = (now - self._stage_began) * (1 - fraction) / fraction
        return fraction * measured + (1 - fraction) * planned  # the further it is, the more the stage's own pace counts
