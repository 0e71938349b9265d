"""A study trains what is missing, reads what is there, and its table says no more than its seeds do."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import stats

from engine.errors import EngineError
from engine.models.spec import Contrast
from engine.progress import Progress
from engine.systems import network
from engine.training import ablation
from engine.training.ablation import FIGURES, Finding, Score, Study, ablate, markdown

CONTRAST = Contrast("with > without", {"position_map": "false"}, photos=(4,), rare=True)


def scores(seed: int, whole: bool) -> list[Score]:
    rng = np.random.default_rng([seed, whole])
    kinds = [(person, photos, rare) for person in (0, 1) for photos in (1, 4) for rare in (False, True, True)]
    return [Score(*kind, *(float(x) for x in rng.uniform(0.1, 2, 4))) for kind in kinds]


def contrast_with(monkeypatch, contrast: Contrast) -> None:
    """The network of these tests has this ablation alone."""
    spec = replace(network("flexavatar"), contrasts=(contrast,))
    monkeypatch.setattr(ablation, "network", lambda name: spec)


@pytest.fixture
def trained(monkeypatch) -> list[tuple]:
    """What the study trains; nothing is learned, and measurements are random numbers."""
    made: list[tuple] = []

    def train(config, objective, say, progress) -> Path:
        made.append((dict(config.variant), config.seed, config.steps, config.samples.name, config.out.parent.name))
        config.out.mkdir(parents=True)
        return config.out

    def measured(system, contrast, weights, study, progress) -> list[Score]:
        return scores(made[-1][1], not contrast.variant)

    monkeypatch.setattr(ablation, "Objective", lambda *config: SimpleNamespace())
    monkeypatch.setattr(ablation, "train", train)
    monkeypatch.setattr(ablation, "_measured", measured)
    contrast_with(monkeypatch, CONTRAST)
    monkeypatch.setattr(ablation, "find_anchors", lambda *sizes: Alternating())
    return made


class Alternating:
    """Anchors to which every other expression is common."""

    def common(self, expressions: np.ndarray) -> np.ndarray:
        return np.arange(len(expressions)) % 2 == 0


def run(folder: Path, steps: int = 2) -> list[Finding]:
    study = Study(folder / "out", folder / "samples", steps=steps, seeds=2, people=1)
    return ablate(study, ["flexavatar"], lambda line: None, Progress())


def test_a_study_trains_once_and_goes_on_where_it_was(trained, tmp_path):
    first = run(tmp_path)
    changes = [{}, {}, {"position_map": "false"}, {"position_map": "false"}]
    assert trained == [(change, i % 2, 2, "samples", "out") for i, change in enumerate(changes)]
    of_seeds = []
    for seed in range(2):
        pairs = zip(scores(seed, True), scores(seed, False), strict=True)
        of_seeds.append(np.mean([a.psnr - b.psnr for a, b in pairs if a.photos == 4 and a.rare]))
    assert [(each.system, each.claim) for each in first] == [("flexavatar", "with > without")]
    assert abs(first[0].differences["psnr"][0] - np.mean(of_seeds)) < 1e-9
    assert run(tmp_path) == first and len(trained) == 4
    (tmp_path / "out" / "flexavatar-position_map=false-1" / "scores.json").unlink()
    (tmp_path / "out" / "flexavatar-position_map=false-1").rmdir()
    assert run(tmp_path) == first and trained[4:] == [({"position_map": "false"}, 1, 2, "samples", "out")]


@pytest.mark.slow
def test_a_real_network_is_trained_and_measured(monkeypatch, tmp_path):
    """Whole against itself by another name: what the part costs is then exactly nothing."""
    contrast_with(monkeypatch, Contrast("same", {"position_map": "true"}))
    for name, value in (("MOST_PHOTOS", 4), ("TARGETS", 2), ("PHOTO_SIZE", 128)):
        monkeypatch.setattr(ablation, name, value)
    monkeypatch.setattr("engine.training.data.PHOTO_SIZE", 128)
    monkeypatch.setattr("engine.training.data.VIEWS", 6)
    (finding,) = run(tmp_path)
    assert all(finding.differences[figure] == (0.0, 0.0) for figure in FIGURES) and finding.time > 0
    paths = [tmp_path / "out" / f"flexavatar-whole-{seed}" / "scores.json" for seed in range(2)]
    stored, other = (json.loads(path.read_text("utf-8"))["scores"] for path in paths)
    assert [(s["person"], s["photos"]) for s in stored] == [(0, 1), (0, 1), (0, 4), (0, 4)]
    assert all(5 < s["psnr"] < 50 and 0 < s["ssim"] < 1 and 0 < s["lpips"] < 1.5 for s in stored)
    assert stored[0]["psnr"] != stored[1]["psnr"] and stored[0]["psnr"] != other[0]["psnr"]  # seeds learn differently
    assert stored[0]["rare"] == stored[2]["rare"]


def test_a_study_without_rare_expressions_is_refused_before_any_training(trained, monkeypatch, tmp_path):
    monkeypatch.setattr(Alternating, "common", lambda self, expressions: np.ones(len(expressions), bool))
    with pytest.raises(EngineError, match="more --people"):
        run(tmp_path)
    assert not trained


@pytest.mark.parametrize("text", ["", '{"setting":', "[]", "3", '{"scores": []}', "\x00"])
def test_damaged_scores_are_refused_by_name(trained, tmp_path, text):
    run(tmp_path)
    path = tmp_path / "out" / "flexavatar-whole-1" / "scores.json"
    for damaged in (text, path.read_text("utf-8").replace('"psnr"', '"loudness"')):
        path.write_text(damaged)
        with pytest.raises(EngineError, match="flexavatar-whole-1.*scores.json"):
            run(tmp_path)


def test_intervals_are_students():
    rng = np.random.default_rng(5)
    pairs = [
        ([Score(0, 1, False, *rng.normal(0, 1, 4)) for _ in range(3)], scores(seed, True)[:3]) for seed in range(4)
    ]
    found = ablation._differences(pairs)
    for figure in FIGURES:
        means = [np.mean([asdict(a)[figure] - asdict(b)[figure] for a, b in zip(*p, strict=True)]) for p in pairs]
        interval = stats.ttest_1samp(means, 0).confidence_interval(0.95)
        mean, half = found[figure]
        np.testing.assert_allclose((mean - half, mean + half), interval, rtol=1e-9)


def test_only_differences_beyond_their_interval_are_bold():
    cells = {"psnr": (0.5, 0.49), "ssim": (-0.02, 0.03), "lpips": (-0.02, 0.01)}
    other = {"psnr": (-0.1, 0.2), "ssim": (0.04, 0.03), "lpips": (0.0, 0.0)}
    table = markdown([Finding("a", "b", cells, 1.5), Finding("c", "d", other, 0.25)])
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]
    assert rows[0] == ["a", "b", "**+0.50 ± 0.49**", "-0.0200 ± 0.0300", "**-0.0200 ± 0.0100**", "1.50 ×"]
    assert rows[1] == ["c", "d", "-0.10 ± 0.20", "**+0.0400 ± 0.0300**", "+0.0000 ± 0.0000", "0.25 ×"]
