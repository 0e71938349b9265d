"""Photos as cameras make them: a small face in a large picture, raw files, wrong profiles, too dark, too bright."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms, TiffImagePlugin

from engine.errors import PhotoError
from engine.photos.check import check_photo
from engine.photos.decode import decode
from engine.photos.load import load_photos
from engine.photos.near import decode_near
from engine.progress import Progress

ORIENTATION, FOCAL_35MM, EXIF_IFD = 0x0112, 0xA405, 0x8769


@pytest.fixture(scope="module")
def portrait(sample_path) -> Image.Image:
    return Image.open(sample_path("astronaut.png")).convert("RGB")


@pytest.fixture(scope="module")
def group(portrait: Image.Image) -> Image.Image:
    """A picture of 48 megapixels in which somebody stands far off the middle; the face has about 190 pixels."""
    picture = Image.new("RGB", (8000, 6000), (120, 130, 125))
    picture.paste(portrait, (5200, 700))
    return picture


@pytest.mark.slow
@pytest.mark.parametrize("turned", [False, True])
def test_a_face_in_a_group_is_cut_from_the_full_photo(tmp_path: Path, portrait, group, turned: bool):
    exif = Image.Exif()
    exif.get_ifd(EXIF_IFD)[FOCAL_35MM] = 50
    if turned:
        exif[ORIENTATION] = 6
        group.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "group.jpg", quality=95, exif=exif)
    else:
        group.save(tmp_path / "group.jpg", quality=95, exif=exif)
    portrait.save(tmp_path / "alone.png")
    near, alone = (load_photos([tmp_path / name], Progress()).photos[0] for name in ("group.jpg", "alone.png"))
    assert near.density == pytest.approx(alone.density, rel=0.02)  # no pixel of the face is lost
    assert near.sharpness == pytest.approx(alone.sharpness, rel=0.25)
    inner = slice(200, 568)
    assert np.abs(near.image[inner, inner] - alone.image[inner, inner]).mean() < 0.03
    # The lens looks at the middle of the whole photo, not of what was cut out of it.
    scale = 1 / near.density
    np.testing.assert_allclose(near.size, scale * np.array([8000, 6000]), rtol=1e-3)
    face = (near.landmarks[:468, :2].mean(axis=0) - near.center) / scale + (4000, 3000)
    at_home = (alone.landmarks[:468, :2].mean(axis=0) - alone.center) * alone.density + np.array(portrait.size) / 2
    np.testing.assert_allclose(face, at_home + (5200, 700), atol=4)
    assert near.focal == pytest.approx(scale * 50 / 43.27 * 10_000, rel=1e-3)


@pytest.mark.slow
def test_large_and_small_photos_are_read_once_and_whole(tmp_path: Path, portrait: Image.Image):
    portrait.save(tmp_path / "small.png")
    portrait.resize((4096, 4096)).save(tmp_path / "close.png")
    for name in ("small.png", "close.png"):
        decoded = decode_near(tmp_path / name)
        assert (decoded.place.left, decoded.place.top) == (0, 0)
        assert decoded.image.shape[:2] == (decoded.place.height, decoded.place.width)


@pytest.mark.parametrize("kind", ["dng", "nef"])
def test_a_raw_files_preview_is_not_taken_for_the_photo(tmp_path: Path, portrait: Image.Image, kind: str):
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    if kind == "dng":
        tags[50706] = b"\x01\x04\x00\x00"
    else:
        tags[254], tags[330] = 1, 8
    portrait.resize((160, 160)).save(tmp_path / f"raw.{kind}", format="TIFF", tiffinfo=tags)
    with pytest.raises(PhotoError, match="raw file"):
        decode(tmp_path / f"raw.{kind}")
    assert "export it as JPEG" in check_photo(tmp_path / f"raw.{kind}").message


def test_a_grey_profile_does_not_make_a_coloured_photo_grey(tmp_path: Path, portrait: Image.Image):
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    profile[16:20] = b"GRAY"
    portrait.save(tmp_path / "odd.png", icc_profile=bytes(profile))
    decoded = decode(tmp_path / "odd.png")
    assert np.abs(decoded.image.astype(int) - np.asarray(portrait)).mean() < 1
    assert "taken as sRGB" in decoded.warnings[0]


@pytest.mark.parametrize(("gain", "offset", "sentence"), [(0.08, 0, "so dark"), (2.5, 120, "overexposed")])
def test_too_dark_and_too_bright_faces_are_said(tmp_path: Path, portrait: Image.Image, gain, offset, sentence):
    changed = np.clip(np.asarray(portrait, float) * gain + offset, 0, 255).astype(np.uint8)
    Image.fromarray(changed).save(tmp_path / "photo.png")
    portrait.save(tmp_path / "plain.png")
    assert not any(sentence in warning for warning in check_photo(tmp_path / "plain.png").warnings)
    verdict = check_photo(tmp_path / "photo.png")
    assert any(sentence in warning for warning in verdict.warnings) or not verdict.usable
