"""Drawn parts against the truth of synthetic people, and against the same parts left as photographed."""

from statistics import mean

from engine.evaluation.parts import PARTS, compare_parts
from engine.progress import Progress


def test_drawn_parts_are_nearer_to_the_truth_than_photographed_ones():
    drawn, plain = (compare_parts(3, 40_000, Progress(), drawn=each) for each in (True, False))
    assert [score.part for score in drawn] == list(PARTS) * 3

    def of(scores, part: str, figure: str) -> float:
        return mean(getattr(score, figure) for score in scores if score.part == part)

    assert of(drawn, "jaw 0.5", "psnr") > of(plain, "jaw 0.5", "psnr")
    assert of(drawn, "gaze 20°", "lpips") < of(plain, "gaze 20°", "lpips")
    assert of(drawn, "eyes closed", "psnr") > of(plain, "eyes closed", "psnr") - 0.3
