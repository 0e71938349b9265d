"""One photo's expression: what is seen is what the take says, and what shows no face is refused."""

import numpy as np
import pytest
from PIL import Image, ImageOps

from engine import assets
from engine.arkit import ARKIT_NAMES
from engine.errors import PhotoError
from engine.heads import load_head
from engine.performance import pose
from engine.progress import Progress

pytestmark = pytest.mark.slow


def seen(name: str, take) -> float:
    return float(take.weights[0, ARKIT_NAMES.index(name)])


def test_a_smile_is_read_off_one_photo_and_its_mirror_image_is_the_other_way_round(tmp_path):
    smiling, calm = assets.path("samples/astronaut.png"), assets.path("samples/person_a_1.jpg")
    ImageOps.mirror(Image.open(smiling)).save(tmp_path / "mirror.png")
    smile, rest, mirrored = (pose(path, load_head(), Progress()) for path in (smiling, calm, tmp_path / "mirror.png"))
    for side in ("Left", "Right"):
        assert seen(f"mouthSmile{side}", smile) > 0.4 > seen(f"mouthSmile{side}", rest) + 0.2
    assert len(smile.times) == 1 and smile.confidence[0] > 0.8
    swapped = [name.replace("Left", "~").replace("Right", "Left").replace("~", "Right") for name in ARKIT_NAMES]
    assert np.abs(smile.weights[0] - [seen(name, mirrored) for name in swapped]).mean() < 0.04
    assert np.degrees(np.abs(smile.head + mirrored.head * (-1, 1, 1)))[0, 1:].max() < 3


def test_without_a_face_it_says_so(tmp_path):
    Image.new("RGB", (300, 300), "gray").save(tmp_path / "wall.png")
    with pytest.raises(PhotoError, match=r"No face found in wall\.png"):
        pose(tmp_path / "wall.png", load_head(), Progress())
