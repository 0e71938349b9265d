"""``python -m engine edit`` and ``synthesise``: files in, files out, errors by name."""

import numpy as np
import pytest
from PIL import Image

from engine import avatar as avatars
from engine.cli import main
from engine.synthetic import sample
from tests.engine.editing.test_editing import make_avatar


@pytest.mark.slow
def test_edit_and_synthesise(tmp_path, capsys):
    a, b, out = (str(tmp_path / name) for name in ("a.npz", "b.npz", "out.npz"))
    avatars.save(make_avatar(1, 24), a)
    avatars.save(make_avatar(2, 24), b)
    assert main(["edit", "interpolate", a, b, "--gamma", "0.25", "-o", out]) == 0
    made = avatars.load(out)
    assert made.name == "out"
    assert made.provenance["options"] == {"edit": "interpolate", "sources": ["person 1", "person 2"], "gamma": 0.25}
    assert [photo["name"] for photo in made.provenance["photos"]] == ["1.jpg", "2.jpg"]
    assert main(["edit", "replace", a, b, "--region", "lips", "teeth", "-o", out, "--name", "lips"]) == 0
    assert avatars.load(out).name == "lips"
    assert main(["edit", "transfer", a, b, "--expression", "jawOpen=0.5", "-o", out]) == 0
    assert main(["edit", "transfer", a, b, "-o", out]) == 1
    assert main(["edit", "replace", a, b, "--region", "nose", "-o", out]) == 5
    assert "no region 'nose'" in capsys.readouterr().err

    folder = tmp_path / "heads"
    assert main(["synthesise", "--seed", "7", "--count", "1", "--views", "2", "--size", "32", "-o", str(folder)]) == 0
    assert sorted(path.name for path in folder.iterdir()) == ["00007.npz", "00007_0.png", "00007_1.png", "sheet.png"]
    truth = sample(7, 2, 32, False)
    with np.load(folder / "00007.npz", allow_pickle=False) as saved:
        np.testing.assert_array_equal(saved["uv"], truth.uv)
    picture = np.asarray(Image.open(folder / "00007_1.png"))
    assert picture.shape == (32, 32, 4)
    np.testing.assert_allclose(picture[..., 3] / 255, truth.alpha[1], atol=0.003)
