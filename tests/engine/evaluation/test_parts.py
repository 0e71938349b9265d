"""Drawn parts against the truth of synthetic people, and against the same parts left as photographed."""

import pytest

from engine.evaluation.parts import PARTS, compare_parts
from engine.progress import Progress

PEOPLE = 2


@pytest.mark.slow
def test_drawn_parts_are_nearer_to_the_truth_than_photographed_ones():
    drawn, plain = (compare_parts(PEOPLE, 20_000, Progress(), drawn=each) for each in (True, False))
    assert [score.part for score in drawn] == list(PARTS) * PEOPLE
    people = {part: [pair for pair in zip(drawn, plain, strict=True) if pair[0].part == part] for part in PARTS}
    assert all(ours.psnr > photographed.psnr + 1 for ours, photographed in people["jaw 0.5"])
    assert all(ours.lpips < photographed.lpips for ours, photographed in people["gaze 20°"])
    assert all(ours.psnr > photographed.psnr for ours, photographed in people["eyes closed"])
