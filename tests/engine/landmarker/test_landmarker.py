"""The landmarker says what MediaPipe says, with one face, several or none, and from several threads at once."""

import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from scipy.spatial.transform import Rotation

from engine import assets
from engine.arkit import ARKIT_NAMES
from engine.landmarker import detect_faces, models
from engine.landmarker.face import FACE_OVAL
from engine.landmarker.models import canonical

MEDIAPIPE = np.load(Path(__file__).with_name("mediapipe.npz"))
PHOTOS = sorted({name.split()[0] for name in MEDIAPIPE.files} - {"names"})
SEEN_HEIGHT = 192  # px of the face in what the network looks at; errors are told on that scale


def photo(name: str) -> np.ndarray:
    return np.asarray(Image.open(assets.path(f"samples/{name}")).convert("RGB"))


def test_landmarks_scores_and_pose_are_mediapipes() -> None:
    errors = []
    for name in PHOTOS:
        (face,) = detect_faces(photo(name))
        expected = MEDIAPIPE[f"{name} landmarks"]
        off = np.linalg.norm((face.landmarks - expected)[:, :2], axis=1) * SEEN_HEIGHT / face.height
        errors.append(off.mean())
        assert off.mean() < 0.15, name
        assert off.max() < 0.5, name
        said = dict(zip(MEDIAPIPE["names"], MEDIAPIPE[f"{name} scores"], strict=True))
        assert face.scores == pytest.approx([said.get(key, 0.0) for key in ARKIT_NAMES], abs=0.015), name
        pose = MEDIAPIPE[f"{name} pose"][:3, :3]
        turn = Rotation.from_matrix(face.rotation.T @ pose)
        assert np.degrees(turn.magnitude()) < 0.2, name
        assert face.rotation @ face.rotation.T == pytest.approx(np.eye(3), abs=1e-9)
    assert np.mean(errors) < 0.05


def test_several_faces_are_found_each_where_it_is() -> None:
    one, other = photo("person_b_1.jpg")[:899], photo("person_a_2.jpg")[:899]
    alone = [detect_faces(picture)[0] for picture in (one, other)]
    both = sorted(detect_faces(np.hstack([one, other])), key=lambda face: face.center[0])
    assert len(both) == 2
    for face, expected, shift in zip(both, alone, (0, one.shape[1]), strict=True):
        # The detector sees each face smaller than alone, so the squares that the mesh looks at differ a little.
        assert np.linalg.norm(face.center - expected.center - (shift, 0)) < 0.03 * expected.height


def test_a_picture_without_a_face_has_none() -> None:
    noise = np.random.default_rng(3).integers(0, 256, (300, 500, 3), dtype=np.uint8)
    assert detect_faces(noise) == []
    assert detect_faces(np.zeros((1, 1, 3), np.uint8)) == []


def test_threads_do_not_disturb_each_other() -> None:
    pictures = [photo(name) for name in PHOTOS]
    alone = [detect_faces(picture)[0].landmarks for picture in pictures]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda picture: detect_faces(picture)[0].landmarks, pictures * 3))
    for index, landmarks in enumerate(together):
        assert np.array_equal(landmarks, alone[index % len(alone)])


def test_the_mesh_is_the_canonical_faces() -> None:
    mesh = canonical()
    edges = np.sort(mesh.triangles[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1)
    sides, counts = np.unique(edges, axis=0, return_counts=True)
    outline = np.unique(sides[counts == 1])
    assert set(FACE_OVAL) <= set(outline)  # its other rims are the eyes' and the mouth's
    assert mesh.weights.sum() > 0
    assert mesh.vertices.shape == (468, 3)


def test_its_networks_are_read_where_a_users_name_is_not_ascii(tmp_path, monkeypatch) -> None:
    """OpenCV opens files by the code page's names on Windows, so only relative ones may reach it."""
    folder = tmp_path / "山田 太郎"
    folder.mkdir()
    read, opened = cv2.dnn.readNetFromTFLite, []
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    monkeypatch.setattr(cv2.dnn, "readNetFromTFLite", lambda path, *rest: opened.append(path) or read(path, *rest))
    models._networks.cache_clear()
    before = Path.cwd()
    assert len(detect_faces(photo("astronaut.png"))) == 1
    assert len(opened) == 3
    assert all(path.isascii() for path in opened)
    assert Path.cwd() == before
    assert list(folder.iterdir()) == []
