"""The papers' ablations at a size that two cores can train: one table, with seeds and intervals."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from scipy import stats

from engine.atomic import atomic_write
from engine.errors import EngineError
from engine.evaluation.synthetic import compared, draw, floats, planes
from engine.heads import load_head
from engine.models.learned.posed_images import driving_code
from engine.models.learned.weights import load
from engine.models.spec import Contrast
from engine.perceptual import LPIPS
from engine.progress import Progress
from engine.synthetic import HELD_OUT, SyntheticHeads
from engine.synthetic.rebalancing import find_anchors
from engine.synthetic.samples import instant
from engine.synthetic.shelf import Shelf
from engine.systems import make_system, network
from engine.training.config import TrainConfig
from engine.training.data import ON_SHELF, PHOTO_SIZE, VIEWS
from engine.training.loop import train
from engine.training.objective import Objective, picture, posed_sample
from engine.training.painted_textures import painted_texture

PRESET = "tiny"
LEARNING_RATE = 8e-4
MOST_PHOTOS, TARGETS = 8, 6  # views of every held-out person: photos, then targets, no two with one expression
FIGURES = ("psnr", "ssim", "lpips")
FEW_AND_MORE = (1, 4)  # photos of systems that are not compared from number to number


@dataclass(frozen=True)
class Score:
    """One target of one held-out person, at the photos' own size, over white.

    Attributes:
        seconds: of processor time from photos to Gaussians at rest.
    """

    person: int
    photos: int
    rare: bool
    psnr: float
    ssim: float
    lpips: float
    seconds: float


@dataclass(frozen=True)
class Finding:
    """One line of the table: with the part minus without it.

    Attributes:
        differences: figure -> (mean over seeds, half of its 95 % interval by Student's t).
        time: photos to Gaussians, with over without.
    """

    system: str
    claim: str
    differences: Mapping[str, tuple[float, float]]
    time: float


@dataclass(frozen=True)
class Study:
    """What all ablations share.

    Attributes:
        out: its folder. samples: of rendered people. steps: of every training, of one person each.
        seeds: trainings of everything. people: held-out ones.
    """

    out: Path
    samples: Path
    steps: int
    seeds: int
    people: int

    def __post_init__(self) -> None:
        if self.seeds < 2 or self.steps < 2 or not 1 <= self.people <= len(HELD_OUT):  # the first step's rate is 0
            raise EngineError(
                "That is no study.", f"Choose two seeds or more, two steps or more, 1 to {len(HELD_OUT)} people."
            )


def ablate(study: Study, systems: Sequence[str], say: Callable[[str], None], progress: Progress) -> list[Finding]:
    """Train and measure what is missing in the study's folder; what is there is read.

    Raises:
        EngineError: a system has no ablations, or the folder holds something else. Cancelled: what is done stays.
    """
    chosen = {system: network(system).contrasts for system in systems}
    if any(contrast.rare for contrasts in chosen.values() for contrast in contrasts) and not _show_rarities(study):
        raise EngineError("So few people show no rare expression.", "Measure on more --people.")
    findings = []
    for system in systems:
        whole = _seeds(study, system, Contrast(""), say, progress)
        for contrast in chosen[system]:
            parts = _seeds(study, system, contrast, say, progress)
            findings.append(_finding(system, contrast, whole, parts))
        counts = network(system).photos
        for few, more in zip(counts, counts[1:], strict=False):
            findings.append(_more(system, few, more, whole))
    return findings


def _finding(system: str, contrast: Contrast, whole: list[list[Score]], parts: list[list[Score]]) -> Finding:
    def wanted(scores: list[Score]) -> list[Score]:
        return [s for s in scores if s.photos in contrast.photos and (s.rare or not contrast.rare)]

    chosen = [(wanted(a), wanted(b)) for a, b in zip(whole, parts, strict=True)]
    return Finding(system, contrast.claim, _differences(chosen), _time(chosen))


def _more(system: str, few: int, more: int, whole: list[list[Score]]) -> Finding:
    chosen = [([s for s in seed if s.photos == more], [s for s in seed if s.photos == few]) for seed in whole]
    return Finding(system, f"{more} > {few} photos", _differences(chosen), _time(chosen))


def _differences(pairs: Sequence[tuple[list[Score], list[Score]]]) -> dict[str, tuple[float, float]]:
    """The same targets in both lists, in the same order; one pair of lists per seed."""
    found = {}
    for figure in FIGURES:
        of_seeds = [
            float(np.mean([getattr(a, figure) - getattr(b, figure) for a, b in zip(*pair, strict=True)]))
            for pair in pairs
        ]
        half = stats.t.ppf(0.975, len(of_seeds) - 1) * stats.sem(of_seeds)
        found[figure] = (float(np.mean(of_seeds)), float(half))
    return found


def _time(pairs: Sequence[tuple[list[Score], list[Score]]]) -> float:
    """Of medians: a machine does other things too."""
    with_part, without = (np.median([score.seconds for pair in pairs for score in pair[side]]) for side in (0, 1))
    return float(with_part / without)


def _seeds(
    study: Study, system: str, contrast: Contrast, say: Callable[[str], None], progress: Progress
) -> list[list[Score]]:  # fmt: skip
    """Scores of one network per seed, trained and measured if they are not there yet."""
    found = []
    for seed in range(study.seeds):
        change = "-".join(f"{name}={value}" for name, value in (contrast.variant | contrast.data).items())  # type: ignore[operator]
        folder = study.out / f"{system}-{change or 'whole'}-{seed}"
        config = TrainConfig(
            system, folder, PRESET, study.steps, seed=seed, learning_rate=LEARNING_RATE,
            samples=study.samples, variant=contrast.variant, data=contrast.data, batch_size=1, threads=1,
        )  # fmt: skip
        setting = config.to_json() | {"people": study.people}
        setting = {name: setting[name] for name in ("variant", "data", "steps", "seed", "learning_rate", "people")}
        path = folder / "scores.json"
        scores = _read(path, setting)
        if scores is None:
            torch.manual_seed(seed)
            weights = train(config, Objective(system, PRESET, config), lambda line: None, progress)
            scores = _measured(system, contrast, weights, study, progress)
            with atomic_write(path) as temporary:
                temporary.write_text(json.dumps({"setting": setting, "scores": [asdict(s) for s in scores]}))
        say(f"{folder.name}: {np.mean([score.psnr for score in scores]):.2f} dB")
        found.append(scores)
    return found


def _read(path: Path, setting: Mapping[str, object]) -> list[Score] | None:
    """The scores in a file, or None where there are none of this setting."""
    if not path.exists():
        return None
    try:
        stored = json.loads(path.read_text())
        return [Score(**score) for score in stored["scores"]] if stored["setting"] == setting else None
    except (ValueError, TypeError, KeyError) as error:
        raise EngineError(f"{path} holds no scores.", "Delete it, or choose another folder.") from error


def _targets() -> range:
    """The views of a held-out person that are compared."""
    return range(MOST_PHOTOS, MOST_PHOTOS + TARGETS)


def _show_rarities(study: Study) -> bool:
    """Whether any target of the held-out people is rarer than if all expressions were even."""
    people = range(HELD_OUT.start, HELD_OUT.start + study.people)
    shown = [instant(seed, view, same_expression=False)[0] for seed in people for view in _targets()]
    return not find_anchors(ON_SHELF, VIEWS).common(np.stack(shown)).all()


@torch.no_grad()
def _measured(system: str, contrast: Contrast, weights: Path, study: Study, progress: Progress) -> list[Score]:
    head, lpips = load_head(), LPIPS()
    learned = make_system(system, PRESET, head, contrast.variant)
    load(learned.network, weights)
    learned.eval()
    anchors = find_anchors(ON_SHELF, VIEWS)
    folder = study.samples / f"held-out-{MOST_PHOTOS + TARGETS}"
    heads = SyntheticHeads(MOST_PHOTOS + TARGETS, PHOTO_SIZE, same_expression=False, first=HELD_OUT.start)
    people, scores = Shelf(heads, folder, study.people), []
    progress.start("held-out people")
    for number in range(study.people):
        progress.update(number / study.people)
        sample = people[number]
        small = sample.shrunk(learned.photo_size)
        common = anchors.common(sample.expression)
        white = torch.ones(3)
        goals = {view: planes(picture(small, view, white)[0]) for view in _targets()}
        for count in network(system).photos or FEW_AND_MORE:
            painted = painted_texture(sample, range(count), head, folder / "coats")
            taken = posed_sample(small, range(count), painted, head)
            began = time.process_time()
            encoded = learned.encode(taken)
            seconds = time.process_time() - began
            for view in _targets():
                code = driving_code(encoded.rig, *floats(small.expression[view], small.joint_rotations[view]))
                render, _ = draw(learned.animate(encoded, code), encoded.rig, small, view, learned.photo_size, white)
                figures = vars(compared(planes(render.clamp(0, 1)), goals[view], lpips))
                scores.append(Score(number, count, bool(~common[view]), **figures, seconds=seconds))
    progress.finish()
    return scores


def markdown(findings: Sequence[Finding]) -> str:
    """The table for a page; a figure whose interval does not contain 0 is bold."""
    lines = ["| system | the paper says | PSNR dB | SSIM | LPIPS | time |", "| --- | --- | --- | --- | --- | --- |"]
    for finding in findings:
        cells = [_cell(*finding.differences[figure], digits) for figure, digits in zip(FIGURES, (2, 4, 4), strict=True)]
        lines.append(f"| {finding.system} | {finding.claim} | {' | '.join(cells)} | {finding.time:.2f} × |")
    return "\n".join(lines) + "\n"


def _cell(mean: float, half: float, digits: int) -> str:
    text = f"{mean:+.{digits}f} ± {half:.{digits}f}"
    return f"**{text}**" if abs(mean) > half else text
