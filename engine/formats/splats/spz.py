"""Niantic's SPZ (https://github.com/nianticlabs/spz): packed splats in gzip; written as version 3, read up to that.

All positions come first, then all opacities, colours, sizes, rotations and spherical harmonics.
"""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np

from engine.atomic import atomic_write
from engine.errors import AvatarError
from engine.formats import viewers
from engine.formats.foreign import SPZ, kind_of, way_out
from engine.formats.spec import Read, SplatFormat
from engine.formats.viewers import SH_C0, arrays, check_count, harmonics_note, read_in
from engine.gaussians.gaussians import Splats

HEADER = struct.Struct("<4sIIBBBB")  # mark, version, splats, degree of harmonics, fractional bits, flags, nothing
HARMONICS = (0, 3, 8, 15, 24)  # coefficients per channel above degree 0, by degree
FINEST = 18  # fractional bits: 4 µm; whatever is within 32 m fits
LARGEST = 2**23 - 1  # of a coordinate's 24 bits
COLOR_SCALE = 0.15
MAGNITUDE = 2**9 - 1  # of a quaternion's entry
ROOT_HALF = math.sqrt(0.5)  # the most that any but the largest entry can be
SMALL, RATIO = 24_000_000, 6  # bytes, or times its own size, that a file may unpack to: splats hardly shrink
CHUNK = 1 << 20  # bytes unpacked at a time
AGAIN = "Export the .spz again."


def write_spz(splats: Splats, path: Path) -> None:
    """Write splats in their order, as version 3 without spherical harmonics. Raises OutputError."""
    table = arrays(splats)
    reach = float(np.abs(table["means"]).max(initial=1e-9))
    bits = max(0, min(FINEST, math.floor(math.log2(LARGEST / reach))))
    places = (table["means"].astype(np.float64) * 2**bits).round().astype("<i4")
    body = (
        np.ascontiguousarray(places).view(np.uint8).reshape(-1, 4)[:, :3],
        _byte(table["opacities"] * 255),
        _byte((table["colors"] - 0.5) / SH_C0 * COLOR_SCALE * 255 + 127.5),
        _byte((np.log(table["scales"]) + 10) * 16),
        _pack_quats(table["quats"]).astype("<u4"),
    )
    header = HEADER.pack(b"NGSP", 3, len(places), 0, bits, 0, 0)
    packed = gzip.compress(header + b"".join(part.tobytes() for part in body), mtime=0)  # the same file every time
    with atomic_write(path) as temporary:
        temporary.write_bytes(packed)


def read_spz(path: Path) -> Read:
    """Read splats of versions 1 to 3.

    Raises:
        AvatarError: the file is missing, damaged, of another version or no SPZ.
    """
    try:
        kind = kind_of(path)
        if kind not in (None, SPZ):
            raise AvatarError(f"{path.name} is {kind.what}.", way_out(kind, path))
        version, count, degree, bits, body = _unpack(path)
        return _splats(version, count, degree, bits, body, path.name)
    except OSError as error:
        raise AvatarError(f"{path.name} cannot be read ({error.strerror or error}).", AGAIN) from error
    except (ValueError, zlib.error) as error:
        raise AvatarError(f"{path.name} is no SPZ, truncated or damaged: {error}.", AGAIN) from error


def _unpack(path: Path) -> tuple[int, int, int, int, bytearray]:
    """Version, count, degree, fractional bits and the rest, of which no more is unpacked than the header announces."""
    body, wanted, rest = bytearray(), HEADER.size, b""
    version = count = degree = bits = 0
    unpacker = zlib.decompressobj(wbits=31)
    with path.open("rb") as file:
        while len(body) < wanted:
            rest = unpacker.unconsumed_tail or file.read(CHUNK)
            part = unpacker.decompress(rest, min(CHUNK, wanted - len(body)))
            if not part and not rest:
                raise ValueError("it is cut short")
            body += part
            if wanted == HEADER.size == len(body):
                mark, version, count, degree, bits, _, _ = HEADER.unpack(body)
                if mark != b"NGSP" or not 1 <= version <= 3 or degree >= len(HARMONICS) or bits > 23:
                    raise ValueError("its header is none that is known")
                check_count(count, path.name)
                wanted += count * (_place_bytes(version) + 1 + 3 + 3 + (4 if version == 3 else 3))
                wanted += count * 3 * HARMONICS[degree]
                if wanted > max(SMALL, RATIO * path.stat().st_size):
                    raise ValueError("it unpacks to more than a file of its size can hold")
        while not unpacker.eof:  # to where its checksum is compared; extensions of later writers are not read
            rest = unpacker.unconsumed_tail or file.read(CHUNK)
            if not unpacker.decompress(rest, CHUNK) and not rest:
                raise ValueError("it is cut short")
    del body[: HEADER.size]
    return version, count, degree, bits, body


def _place_bytes(version: int) -> int:
    return 6 if version == 1 else 9


def _splats(version: int, count: int, degree: int, bits: int, body: bytearray, source: str) -> Read:
    start = 0

    def take(width: int) -> np.ndarray:
        nonlocal start
        part = np.frombuffer(body, np.uint8, count * width, start).reshape(count, width)
        start += count * width
        return part

    places, opacities, colors, scales = take(_place_bytes(version)), take(1), take(3), take(3)
    quats = take(4 if version == 3 else 3)
    notes = ()
    if degree and (take(3 * HARMONICS[degree]) != 128).any():
        notes = (harmonics_note(f"degree {degree}"),)
    found = [np.empty((count, width), np.float32) for width in (3, 4, 3, 1, 3)]
    for first in range(0, count, viewers.CHUNK):
        part = slice(first, first + viewers.CHUNK)
        found[0][part] = places[part].view("<f2") if version == 1 else _unpack_places(places[part], bits)
        found[1][part] = _unpack_quats(quats[part].view("<u4")[:, 0]) if version == 3 else _three_quats(quats[part])
        found[2][part] = np.exp(scales[part] / 16.0 - 10)
        found[3][part] = opacities[part] / 255.0
        found[4][part] = (colors[part] / 255.0 - 0.5) / COLOR_SCALE * SH_C0 + 0.5
    means, turns, sizes, opaque, shades = found
    return read_in(means, turns, sizes, opaque[:, 0], shades, source, notes)


def _unpack_places(places: np.ndarray, bits: int) -> np.ndarray:
    wide = np.zeros((len(places), 3, 4), np.uint8)
    wide[..., 1:] = places.reshape(-1, 3, 3)  # at the upper end, so that the sign is the word's own
    return (wide.view("<i4")[..., 0] >> 8) / 2.0**bits


def _pack_quats(quats: np.ndarray) -> np.ndarray:
    """[N] uint32 of [N, 4] wxyz: the largest entry's number (of x, y, z, w), and the others in nine bits and a sign."""
    turned = np.roll(quats, -1, axis=1).astype(np.float64)
    turned /= np.linalg.norm(turned, axis=1, keepdims=True)
    largest = np.abs(turned).argmax(axis=1)
    turned *= np.sign(np.take_along_axis(turned, largest[:, None], axis=1))
    packed = largest.astype(np.uint32)
    for axis in range(4):
        entry = turned[:, axis]
        nine = (np.abs(entry) / ROOT_HALF * MAGNITUDE).round().clip(0, MAGNITUDE).astype(np.uint32)
        packed = np.where(largest == axis, packed, packed << 10 | (entry < 0).astype(np.uint32) << 9 | nine)
    return packed


def _unpack_quats(packed: np.ndarray) -> np.ndarray:
    largest, left = packed >> 30, packed.astype(np.uint32)
    turned = np.zeros((len(packed), 4))
    for axis in (3, 2, 1, 0):
        there = largest != axis
        entry = (left & MAGNITUDE) * (ROOT_HALF / MAGNITUDE) * np.where(left >> 9 & 1, -1.0, 1.0)
        turned[:, axis] = np.where(there, entry, 0)
        left = np.where(there, left >> 10, left)
    np.put_along_axis(turned, largest[:, None].astype(np.int64), _missing(turned), axis=1)
    return np.roll(turned, 1, axis=1)


def _three_quats(packed: np.ndarray) -> np.ndarray:
    """Of versions 1 and 2: x, y, z, and w from them."""
    turned = packed / 127.5 - 1
    return np.concatenate((_missing(turned), turned), axis=1)


def _missing(turned: np.ndarray) -> np.ndarray:
    """[N, 1] what brings rows to length 1."""
    return np.sqrt((1 - (turned**2).sum(axis=1, keepdims=True)).clip(min=0))


def _byte(values: np.ndarray) -> np.ndarray:
    return values.round().clip(0, 255).astype(np.uint8)


SPEC = SplatFormat(name="spz", label="the same, a tenth the size", write=write_spz, read=read_spz, axes="gltf", order=2)
