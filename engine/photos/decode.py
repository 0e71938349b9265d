"""Reads an image file of any common kind into upright 8-bit sRGB pixels, within stated limits."""

from __future__ import annotations

import io
import math
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, ImageCms

from engine.errors import PhotoError
from engine.photos import hdr

MAX_SIDE = 2048  # px; larger photos are scaled down right after decoding
MAX_FILE_BYTES = 200_000_000
PIXELS_PER_BYTE, ALWAYS_PIXELS = 100, 16_000_000  # more than that a small file claims only to fill the memory
ROWS = 512  # of deep pixels at a time
MAX_PIXELS = 500_000_000  # what a header may claim before the file counts as a decompression bomb
MAX_DECODED_BYTES = 2_200_000_000  # Pillow's own buffers while scaling down
FULL_FRAME_DIAGONAL = 43.27  # mm, the diagonal that "35 mm equivalent" focal lengths refer to
FOCAL_35MM_RANGE = (8.0, 2000.0)  # mm; EXIF outside of it is a placeholder, not a lens

# By EXIF's orientation (EXIF 2.32, table 6).
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
HEIF_BRANDS = (b"heic", b"heix", b"hevc", b"hevx", b"mif1", b"msf1", b"heim", b"heis")

Image.MAX_IMAGE_PIXELS = MAX_PIXELS // 2  # Pillow warns above this and refuses above twice this

try:
    import pillow_heif

    pillow_heif.register_heif_opener()
    HEIF_INSTALLED = True
except ImportError:
    HEIF_INSTALLED = False

Image.init()
# Only decoders of still photos: Pillow's full list would run Ghostscript on a PostScript file named .jpg.
STILLS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "JPEG2000", "PPM", "AVIF", "HEIF")
FORMATS = tuple(kind for kind in STILLS if kind in Image.OPEN)


@dataclass(frozen=True)
class Place:
    """Where an image lies in the photo that it was cut from, in the image's own pixels.

    Attributes:
        left, top: of the image in the photo. width, height: of the photo.
    """

    left: float
    top: float
    width: float
    height: float


@dataclass(frozen=True)
class Square:
    """A part of a photo, in shares of its width and height; ``side`` in shares of the longer one."""

    x: float
    y: float
    side: float


@dataclass(frozen=True)
class Decoded:
    """A photo's pixels and what its file says about the lens.

    Attributes:
        image: [H, W, 3] uint8 sRGB, upright, at most ``MAX_SIDE`` px on its longer side.
        focal: focal length in pixels of ``image`` from EXIF, or None.
        place: where ``image`` lies in the photo; the whole of it where it was not cut.
        shrunk: pixels of ``image`` per pixel of the file, at most 1.
        warnings: sentences for the report.
    """

    image: np.ndarray
    focal: float | None
    place: Place
    shrunk: float
    warnings: tuple[str, ...] = ()


def decode(path: Path, part: Square | None = None) -> Decoded:
    """Read one image file.

    EXIF orientation is applied, an embedded ICC profile is converted to sRGB, 16-bit and palette and CMYK pixels become
    8-bit RGB, transparency is laid over white, and of several frames the first is taken.

    Args:
        part: read only this, in as many pixels as the file has there.

    Raises:
        PhotoError: the file is missing, empty, too large, cut short, a camera's raw file, or no image that can be read.
    """
    check_file(path, MAX_FILE_BYTES)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's remarks on size, which is checked below, and on odd metadata
            with Image.open(path, formats=FORMATS) as opened:
                if opened.width * opened.height > max(ALWAYS_PIXELS, PIXELS_PER_BYTE * path.stat().st_size):
                    raise PhotoError(
                        f"{path.name} claims {opened.width} x {opened.height} pixels, for which the file is too small.",
                        "Export the photo again from its source.",
                    )
                return _read(opened, path.name, part)
    except Image.DecompressionBombError:
        raise _too_many_pixels(path.name) from None
    except Image.UnidentifiedImageError:
        raise _unreadable(path) from None
    except MemoryError:
        raise PhotoError(f"{path.name} does not fit into memory.", "Scale it down and try again.") from None
    except PhotoError:
        raise
    except Exception as error:  # the decoders raise whatever comes to hand on damaged data
        raise PhotoError(
            f"{path.name} is damaged or cut short ({error}).", "Copy or export the photo again from its source."
        ) from None


def check_file(path: Path, max_bytes: int) -> None:
    """Raise :class:`PhotoError` unless ``path`` is a file with something in it and at most ``max_bytes``."""
    if path.is_dir():
        raise PhotoError(f"{path.name} is a folder.", "Give the photos inside it, for example with a wildcard.")
    if not path.is_file():
        raise PhotoError(f"{path.name} does not exist.", f"Check the path: {path}")
    size = path.stat().st_size
    if size == 0:
        raise PhotoError(f"{path.name} is empty (0 bytes).", "Copy or export it again from its source.")
    if size > max_bytes:
        raise PhotoError(
            f"{path.name} has {size / 1e6:.0f} MB; at most {max_bytes / 1e6:.0f} MB are read.",
            "Export it at a smaller size.",
        )


def scale_down(image: np.ndarray) -> np.ndarray:
    """Scale [H, W, 3] uint8 so that its longer side has at most ``MAX_SIDE`` px; smaller images pass unchanged."""
    if max(image.shape[:2]) <= MAX_SIDE:
        return image
    pillow = Image.fromarray(image)
    pillow.thumbnail((MAX_SIDE, MAX_SIDE), Image.Resampling.LANCZOS)
    return np.asarray(pillow)


def _read(image: Image.Image, name: str, part: Square | None) -> Decoded:
    if _is_raw(image):
        raise PhotoError(
            f"{name} is a camera's raw file, of which only the small preview could be read.",
            "Develop it and export it as JPEG or TIFF.",
        )
    exif = image.getexif()
    focal_35mm = exif.get_ifd(ExifTags.IFD.Exif).get(ExifTags.Base.FocalLengthIn35mmFilm)
    profile, light = image.info.get("icc_profile"), image.info.get("nclx_profile")
    has_alpha = image.has_transparency_data

    longest = max(image.size)
    if part is None:
        # JPEG's decoder halves for free; twice the wanted size leaves the quality to the last filter.
        scale = min(1.0, MAX_SIDE / longest)
        image.draft(None, (math.ceil(2 * image.width * scale), math.ceil(2 * image.height * scale)))
    # Pillow holds most modes at 4 bytes a pixel, and copies palette and transparent images once while scaling.
    if image.width * image.height * 4 * (2 if has_alpha or image.mode == "P" else 1) > MAX_DECODED_BYTES:
        raise _too_many_pixels(name)
    image.load()
    # After load(), which turns some kinds itself.
    turn = TURNS.get(image.getexif().get(ExifTags.Base.Orientation, 1))

    image = _eight_bit(image, name)
    if part is None:
        image.thumbnail((MAX_SIDE, MAX_SIDE), Image.Resampling.LANCZOS)
    if turn is not None:  # not ImageOps.exif_transpose: it writes all of EXIF anew, and fails where any of it is odd
        image = image.transpose(turn)
    whole, corner = image.size, (0, 0)
    if part is not None:
        image, corner = _cut(image, part)
    if has_alpha:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    image, complaints = _to_srgb(image, profile, name)
    before = image.width
    image.thumbnail((MAX_SIDE, MAX_SIDE), Image.Resampling.LANCZOS)
    pixels = np.array(image)
    if light and not profile:
        pixels = hdr.to_srgb(pixels, light["color_primaries"], light["transfer_characteristics"])
    ratio = image.width / before
    place = Place(*(ratio * value for value in (*corner, *whole)))
    shrunk = ratio * max(whole) / longest
    return Decoded(pixels, _focal_pixels(focal_35mm, place.width, place.height), place, min(shrunk, 1.0), complaints)


def _is_raw(image: Image.Image) -> bool:
    """Whether a TIFF is a camera's raw file, whose first picture is a preview of others below it."""
    tags = getattr(image, "tag_v2", None)
    if tags is None:
        return False
    is_preview = bool(tags.get(ExifTags.Base.NewSubfileType, 0) & 1) and ExifTags.Base.SubIFDs in tags
    return ExifTags.Base.DNGVersion in tags or is_preview


def _cut(image: Image.Image, part: Square) -> tuple[Image.Image, tuple[int, int]]:
    """A part of an upright photo, as far as the photo goes, and its upper left corner."""
    half = part.side * max(image.size) / 2
    middle = part.x * image.width, part.y * image.height
    left, top = (max(math.floor(at - half), 0) for at in middle)
    right, bottom = (min(math.ceil(at + half), size) for at, size in zip(middle, image.size, strict=True))
    return image.crop((left, top, right, bottom)), (left, top)


def _eight_bit(image: Image.Image, name: str) -> Image.Image:
    """The same pixels in a mode of 8 bits a channel that Pillow can filter."""
    if image.mode.startswith("I"):  # 16 bits, also where Pillow widens them to 32
        grey = Image.new("L", image.size)
        for top in range(0, image.height, ROWS):  # all at once takes five times the memory
            values = np.asarray(image.crop((0, top, image.width, min(top + ROWS, image.height))))
            grey.paste(Image.fromarray(np.clip(values // 257, 0, 255).astype(np.uint8)), (0, top))
        return grey
    if image.mode == "P":
        return image.convert("RGBA" if image.has_transparency_data else "RGB")
    if image.mode == "1":
        return image.convert("L")
    if image.mode not in ("L", "LA", "RGB", "RGBA", "CMYK"):
        raise PhotoError(
            f"{name} stores its colours in a way that is not read ({image.mode}).",
            "Export it as an 8-bit sRGB JPEG or PNG.",
        )
    return image


def _to_srgb(image: Image.Image, profile: bytes | None, name: str) -> tuple[Image.Image, tuple[str, ...]]:
    if profile is None:
        return image.convert("RGB"), ()
    try:
        mode = {b"RGB ": "RGB", b"GRAY": "L", b"CMYK": "CMYK"}[profile[16:20]]  # ICC.1:2022, table 17
        if mode == "L" and image.mode not in ("L", "LA"):  # it would make a coloured photo grey
            raise ValueError(mode)
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        converted = ImageCms.profileToProfile(
            image.convert(mode), source, ImageCms.createProfile("sRGB"), outputMode="RGB"
        )
    except (ImageCms.PyCMSError, KeyError, OSError, ValueError):
        return image.convert("RGB"), (f"The colour profile in {name} cannot be used; its colours are taken as sRGB.",)
    assert converted is not None  # only an in-place conversion answers None
    return converted, ()


def _focal_pixels(focal_35mm: object, width: float, height: float) -> float | None:
    """Pixels from EXIF's 35 mm equivalent, which compares diagonals (CIPA DCG-001)."""
    if not isinstance(focal_35mm, (int, float)) or not FOCAL_35MM_RANGE[0] <= focal_35mm <= FOCAL_35MM_RANGE[1]:
        return None
    return float(focal_35mm) / FULL_FRAME_DIAGONAL * math.hypot(width, height)


def _too_many_pixels(name: str) -> PhotoError:
    return PhotoError(
        f"{name} has more pixels than can be read within {MAX_DECODED_BYTES / 1e9:.1f} GB of memory.",
        f"Scale it down; more than {MAX_SIDE} pixels on the longer side are not used.",
    )


def _unreadable(path: Path) -> PhotoError:
    with path.open("rb") as file:
        head = file.read(12)
    if not HEIF_INSTALLED and head[4:8] == b"ftyp" and head[8:12] in HEIF_BRANDS:
        return PhotoError(f"{path.name} is a HEIC photo, which needs pillow-heif.", "Run: pip install pillow-heif")
    return PhotoError(
        f"{path.name} is not an image that can be read, whatever its name says.",
        "Give a JPEG, PNG, WebP, TIFF or HEIC photo, or a clip as MP4, MOV, WebM, MKV or AVI.",
    )
