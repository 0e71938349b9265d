"""What ``evaluate --held-out`` writes: per system its means, its bins of yaw and its people."""

import json

from engine.evaluation.angles import AngleScore
from engine.evaluation.held_out import HeldOut
from engine.evaluation.metrics import ImageScores
from engine.evaluation.parts import PartScore
from engine.evaluation.synthetic import HeldOutScore


def test_means_and_bins_stand_with_their_system():
    found = HeldOut(
        [
            HeldOutScore(name, seed, 1, ImageScores(20 + seed, 0.8, 0.1))
            for name in ("surface", "uika")
            for seed in (0, 1)
        ],
        [
            AngleScore("surface", seed, where, 18 + seed, 0.7, 0.2, 0.9)
            for seed in (0, 1)
            for where in ("0-30", "90-180")
        ],
        [PartScore("jaw 0.5", 0, 21.0, 0.2)],
    )
    told = json.loads(json.dumps(found.to_json()))
    assert told["systems"]["surface"]["psnr"] == 20.5
    assert told["systems"]["surface"]["bins"]["90-180"] == {"psnr": 18.5, "ssim": 0.7, "lpips": 0.2, "iou": 0.9}
    assert [person["seed"] for person in told["systems"]["uika"]["people"]] == [0, 1]
    assert told["systems"]["uika"]["bins"] == {} and told["parts"][0]["part"] == "jaw 0.5"
    assert [len(table.rows) for table in found.tables()] == [2, 2, 1]
