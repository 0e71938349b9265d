"""Every common kind of image comes out as the same upright sRGB pixels; every broken one as a sentence."""

from __future__ import annotations

import contextlib
import math
import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from engine.errors import PhotoError
from engine.photos import decode as decoding
from engine.photos.decode import MAX_DECODED_BYTES, MAX_FILE_BYTES, MAX_SIDE, decode
from tests.peaks import peak

READ = "from engine.photos.decode import decode\ndecode(Path(sys.argv[1]))"

ORIENTATION, EXIF_IFD, FOCAL_35MM = 0x0112, 0x8769, 0xA405


@pytest.fixture(scope="module")
def picture() -> Image.Image:
    """A smooth asymmetric picture, so that lossy codecs stay close and every turn shows."""
    y, x = np.mgrid[0:120, 0:160].astype(np.float64)
    planes = [127 + 120 * np.sin(x / 40), y / 119 * 255, 255 * (x + y) / 280]
    return Image.fromarray(np.stack(planes, -1).clip(0, 255).astype(np.uint8))


def difference(a: np.ndarray, b: Image.Image) -> float:
    return float(np.abs(a.astype(float) - np.asarray(b.convert("RGB"), float)).mean())


@pytest.mark.parametrize(
    ("suffix", "options"),
    [
        ("png", {}),
        ("bmp", {}),
        ("tif", {}),
        ("jpg", {"quality": 95}),
        ("webp", {"quality": 95}),
        ("avif", {"quality": 95}),
        ("heic", {"quality": 95}),
    ],
)
def test_common_formats(tmp_path: Path, picture: Image.Image, suffix: str, options: dict[str, int]):
    path = tmp_path / f"photo.{suffix}"
    picture.save(path, **options)
    assert difference(decode(path).image, picture) < 3


def test_cmyk_palette_and_grey(tmp_path: Path, picture: Image.Image):
    picture.convert("CMYK").save(tmp_path / "cmyk.jpg", quality=95)
    assert difference(decode(tmp_path / "cmyk.jpg").image, picture) < 3
    palette = picture.quantize(256)
    palette.save(tmp_path / "palette.png")
    assert difference(decode(tmp_path / "palette.png").image, palette) == 0
    picture.convert("L").save(tmp_path / "grey.png")
    assert difference(decode(tmp_path / "grey.png").image, picture.convert("L")) == 0


def test_sixteen_bits_keep_their_range(tmp_path: Path):
    ramp = np.tile(np.linspace(0, 65535, 256).astype(np.uint16), (8, 1))
    Image.fromarray(ramp).save(tmp_path / "deep.png")
    image = decode(tmp_path / "deep.png").image
    np.testing.assert_array_equal(image[0, :, 0], np.arange(256))


@pytest.mark.slow
@pytest.mark.parametrize("rows", [1, 20_000])
def test_a_small_file_of_many_pixels_takes_little_memory(tmp_path: Path, rows: int):
    write_png(tmp_path / "many.png", 20_000, 20_000, channels=1, rows=rows, depth=16)
    mebibytes, refusal = peak(READ, tmp_path / "many.png")
    assert mebibytes < 400
    assert "20000 x 20000" in refusal


@pytest.mark.slow
@pytest.mark.parametrize(("mode", "bytes_a_pixel"), [("I", 4), ("I;16", 2), ("RGB", 3), ("P", 3)])
def test_a_large_picture_takes_four_times_itself_at_most(tmp_path: Path, mode: str, bytes_a_pixel: int):
    path, side = tmp_path / "large.tif", 5_000
    image = Image.new(mode, (side, side), 77 if mode in ("I", "I;16", "P", "L") else None)
    image.save(path)
    del image
    mebibytes, refusal = peak(READ, path)
    assert not refusal
    assert mebibytes < 600 + 4 * side * side * bytes_a_pixel / 2**20


def test_transparency_lies_over_white(tmp_path: Path):
    Image.new("RGBA", (8, 8), (200, 0, 0, 0)).save(tmp_path / "clear.png")
    Image.new("RGBA", (8, 8), (0, 0, 0, 128)).save(tmp_path / "half.png")
    assert (decode(tmp_path / "clear.png").image == 255).all()
    assert decode(tmp_path / "half.png").image[0, 0].tolist() == pytest.approx([127] * 3, abs=1)


def test_embedded_profile_becomes_srgb(tmp_path: Path):
    path = tmp_path / "profile.png"
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    swapped = profile.replace(b"rXYZ", b"tmp!").replace(b"bXYZ", b"rXYZ").replace(b"tmp!", b"bXYZ")
    Image.new("RGB", (8, 8), (200, 40, 90)).save(path, icc_profile=swapped)  # says that red and blue change places
    decoded = decode(path)
    assert decoded.image[0, 0].tolist() == pytest.approx([90, 40, 200], abs=2)
    assert decoded.warnings == ()
    Image.new("RGB", (8, 8), (200, 40, 90)).save(path, icc_profile=b"no profile at all")
    decoded = decode(path)
    assert decoded.image[0, 0].tolist() == [200, 40, 90]
    assert "profile.png" in decoded.warnings[0]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "webp"])
def test_exif_orientation(tmp_path: Path, picture: Image.Image, orientation: int, suffix: str):
    stored = {  # what a camera stores so that the tag makes it upright: the inverse of EXIF 2.32, table 6
        1: lambda p: p,
        2: np.fliplr,
        3: lambda p: np.rot90(p, 2),
        4: np.flipud,
        5: lambda p: p.transpose(1, 0, 2),
        6: lambda p: np.rot90(p, 1),
        7: lambda p: np.rot90(p, 2).transpose(1, 0, 2),
        8: lambda p: np.rot90(p, -1),
    }[orientation](np.asarray(picture))
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    path = tmp_path / f"turned.{suffix}"
    Image.fromarray(np.ascontiguousarray(stored)).save(path, exif=exif)
    assert difference(decode(path).image, picture) < 4


def test_odd_metadata_beside_the_orientation_is_passed_over(tmp_path: Path, picture: Image.Image):
    """A resolution of -1/0 cannot be written again; only the orientation is needed."""
    entries = struct.pack("<HHIHH", ORIENTATION, 3, 1, 6, 0) + struct.pack("<HHII", 0x11A, 10, 1, 38)
    exif = b"Exif\0\0II*\0" + struct.pack("<IH", 8, 2) + entries + struct.pack("<I", 0) + struct.pack("<ii", -1, 0)
    picture.rotate(90, expand=True).save(tmp_path / "odd.jpg", exif=exif, quality=95)
    assert difference(decode(tmp_path / "odd.jpg").image, picture) < 4


@pytest.mark.parametrize(("transfer", "primaries", "limit"), [(16, 9, 4), (18, 9, 4), (13, 12, 3), (13, 1, 3)])
def test_pictures_for_hdr_screens_look_as_their_photographer_saw_them(
    tmp_path: Path, picture: Image.Image, transfer: int, primaries: int, limit: float
):
    """Written by the standards' own curves in float64: PQ and HLG with diffuse white at 203 cd/m² (BT.2408)."""
    heif = pytest.importorskip("pillow_heif")
    dim = picture.point(lambda value: 0.6 * value)  # below where highlights begin
    values = np.asarray(dim) / 255.0
    linear = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    to_primaries = {
        9: [[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956]],
        12: [[0.8225, 0.1774, 0.0], [0.0332, 0.9669, 0.0], [0.0171, 0.0724, 0.9108]],
    }
    light = linear @ np.array(to_primaries.get(primaries, np.eye(3))).T
    if transfer == 16:
        power = (light * 203 / 10000) ** 0.1593017578125
        code = ((0.8359375 + 18.8515625 * power) / (1 + 18.6875 * power)) ** 78.84375
    elif transfer == 18:
        shown = light * 203 / 1000
        scene = shown * np.maximum(shown @ [0.2627, 0.6780, 0.0593], 1e-9)[..., None] ** (1 / 1.2 - 1)
        high = 0.17883277 * np.log(np.maximum(12 * scene - 0.28466892, 1e-9)) + 0.55991073
        code = np.where(scene <= 1 / 12, np.sqrt(3 * scene), high)
    else:
        code = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    words = (code.clip(0, 1) * 65535).astype("<u2").tobytes()
    made = heif.from_bytes(mode="RGB;16", size=picture.size, data=words)
    made.save(
        tmp_path / "hdr.heic", quality=95, chroma=444, color_primaries=primaries, transfer_characteristics=transfer,
        matrix_coefficients=9 if primaries == 9 else 1, full_range_flag=1,
    )  # fmt: skip
    assert difference(decode(tmp_path / "hdr.heic").image, dim) < limit


def test_focal_length_follows_the_scaled_diagonal(tmp_path: Path):
    exif = Image.Exif()
    exif.get_ifd(EXIF_IFD)[FOCAL_35MM] = 50
    Image.new("RGB", (4000, 3000)).save(tmp_path / "large.jpg", exif=exif)
    decoded = decode(tmp_path / "large.jpg")
    assert decoded.image.shape == (1536, 2048, 3)
    assert decoded.focal == pytest.approx(50 / math.hypot(36, 24) * 2560, rel=1e-3)
    exif.get_ifd(EXIF_IFD)[FOCAL_35MM] = 0  # what phones write when they do not know
    Image.new("RGB", (400, 300)).save(tmp_path / "unknown.jpg", exif=exif)
    assert decode(tmp_path / "unknown.jpg").focal is None


def write_png(path: Path, width: int, height: int, channels: int, rows: int, depth: int = 8) -> None:
    """A grey PNG of any claimed size with ``rows`` rows of data, without ever holding it."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    packer = zlib.compressobj(1)
    row = b"\0" + b"\x80" * (channels * width * depth // 8)
    data = b"".join(packer.compress(row) for _ in range(rows)) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, depth, {1: 0, 3: 2, 4: 6}[channels], 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b""))


@pytest.mark.slow
def test_huge_png_is_scaled_within_memory(tmp_path: Path):
    resource = pytest.importorskip("resource", reason="this system cannot limit memory")
    write_png(tmp_path / "huge.png", 20_000, 20_000, channels=3, rows=20_000)
    script = (
        "import sys; from pathlib import Path; from engine.photos.decode import decode;"
        "image = decode(Path(sys.argv[1])).image; assert image.shape == (2048, 2048, 3) and (image == 128).all()"
    )
    limit = MAX_DECODED_BYTES + 1_500_000_000  # address space: the interpreter and its libraries take the rest
    subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "huge.png")],
        check=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)),
    )


def test_more_than_memory_allows_is_refused(tmp_path: Path):
    write_png(tmp_path / "huge.png", 20_000, 20_000, channels=4, rows=1)
    write_png(tmp_path / "bomb.png", 60_000, 60_000, channels=3, rows=1)
    for name in ("huge.png", "bomb.png"):
        os.truncate(tmp_path / name, 40_000_000)  # or the claim alone would be refused
        with pytest.raises(PhotoError, match=f"{name} has more pixels than .* Scale it down; more than {MAX_SIDE}"):
            decode(tmp_path / name)


def test_broken_files_say_what_to_do(tmp_path: Path, picture: Image.Image):
    picture.save(tmp_path / "whole.jpg")
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "whole.jpg").read_bytes()[:-700])
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "text.jpg").write_text("I am no photo. " * 20)
    (tmp_path / "script.jpg").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")
    (tmp_path / "folder.jpg").mkdir()
    picture.convert("L").convert("F").save(tmp_path / "float.tif")
    for name, said in {
        "cut.jpg": "damaged or cut short .* again from its source",
        "empty.jpg": "is empty .* again from its source",
        "text.jpg": "is not an image .* Give a JPEG",
        "script.jpg": "is not an image .* Give a JPEG",
        "folder.jpg": "is a folder. Give the photos inside",
        "missing.jpg": "does not exist. Check the path",
        "float.tif": "is not read .* Export it as an 8-bit",
    }.items():
        with pytest.raises(PhotoError, match=f"{name}.*{said}"):
            decode(tmp_path / name)


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "webp", "avif", "heic"])
def test_damaged_bytes_never_raise_anything_else(tmp_path: Path, picture: Image.Image, suffix: str):
    path = tmp_path / f"damaged.{suffix}"
    picture.save(path)
    whole = np.frombuffer(path.read_bytes(), np.uint8)
    rng = np.random.default_rng(0)
    for _ in range(40):
        damaged = whole.copy()
        damaged[rng.integers(0, min(len(whole), 600), 4)] = rng.integers(0, 256, 4)
        path.write_bytes(damaged.tobytes())
        with contextlib.suppress(PhotoError):
            assert decode(path).image.dtype == np.uint8


def test_too_large_a_file_is_refused(tmp_path: Path):
    with (tmp_path / "vast.jpg").open("wb") as file:
        file.truncate(MAX_FILE_BYTES + 1)
    with pytest.raises(PhotoError, match="vast.jpg has 200 MB; at most 200 MB are read. Export"):
        decode(tmp_path / "vast.jpg")


def test_heic_without_its_library_says_so(tmp_path: Path, picture: Image.Image, monkeypatch: pytest.MonkeyPatch):
    picture.save(tmp_path / "phone.heic")
    monkeypatch.setattr(decoding, "HEIF_INSTALLED", False)
    monkeypatch.setattr(decoding, "FORMATS", ("JPEG", "PNG"))
    with pytest.raises(PhotoError, match="phone.heic is a HEIC photo, which needs pillow-heif. Run: pip install"):
        decode(tmp_path / "phone.heic")
