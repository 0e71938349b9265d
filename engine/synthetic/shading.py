"""The light on every sample of a rasterised person: skin with relief, eyes, cloth, hair ribbons; one kernel."""

from __future__ import annotations

import numba
import numpy as np

from engine.gaussians.mesh_raster import rasterize_mesh
from engine.kernels import njit
from engine.synthetic.acting import Light
from engine.synthetic.canvas import EYE, RESOLUTION, SKIN, WET, looking
from engine.synthetic.person import Person, Posed, facing

SHADOW_SIZE, SHADOW_SPAN, SHADOW_FAR = 256, 0.62, 20.0  # px; m that the map covers; m to the lamp
SHADOW_BIAS = 0.004  # m
LIT_THROUGH = (0.30, 0.12, 0.08)  # how far red, green and blue light wraps around skin
SHOULDER = 0.65  # of full scale, where highlights begin to roll off
_TABLE = 4096


def _encode() -> np.ndarray:
    """sRGB of linear light, tabled over its square root."""
    linear = np.linspace(0, 1, _TABLE) ** 2
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * np.maximum(linear, 1e-9) ** (1 / 2.4) - 0.055)


ENCODED = _encode().astype(np.float32)


def shade(
    person: Person, posed: Posed, light: Light, eye: np.ndarray, faces: np.ndarray, triangle: np.ndarray,
    barycentric: np.ndarray, mouth_open: float,
) -> np.ndarray:  # fmt: skip
    """Display-referred colours of a raster of head and hair.

    Args:
        eye: [3] the camera's centre.
        faces: [T, 3] ``person.faces``. triangle: [H, W] int32 into them, -1 for none. barycentric: [H, W, 3].
        mouth_open: 0..1, how far light reaches into the mouth.

    Returns:
        [H, W, 3] float32 sRGB 0..1, 0 where there is no triangle.
    """
    sheet, hair = person.sheet, person.hair
    head, sleeves = sheet.head, sheet.sleeves
    uv_faces = np.concatenate([head.uv_faces[sheet.seen], sleeves.uv_faces])
    material = np.concatenate([sheet.material[sheet.seen], np.full(len(sleeves.faces), SKIN, np.uint8)])
    openness = np.concatenate([sheet.openness, sheet.openness[sleeves.source]])
    uv = (head.uv * [1, -1] * RESOLUTION).astype(np.float32)
    slopes = _texel_gradients(posed.vertices, faces[: len(uv_faces)], uv, uv_faces)
    shadow, to_lamp = _shadow_map(person, posed, light, faces)
    lamps = np.concatenate([light.lamps, light.colours], axis=1).astype(np.float32)
    ambient = np.stack([light.up, light.sky, light.ground]).astype(np.float32)
    return _shade(
        triangle, barycentric, faces, posed.vertices, posed.normals, posed.tangents, len(uv_faces), len(openness),
        head.uv.astype(np.float32), uv_faces, person.texture, material, openness,
        slopes, hair.colors, hair.across, hair.strand, hair.openness,
        lamps, ambient, shadow, to_lamp, np.float32(light.softness * SHADOW_SIZE / SHADOW_SPAN),
        eye.astype(np.float32), np.float32(mouth_open), ENCODED,
    )  # fmt: skip


def _shadow_map(person: Person, posed: Posed, light: Light, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """[S, S] depth seen from the first lamp, and [3, 4] world -> its pixels and depth (nearly parallel rays)."""
    head, hair = person.sheet.head, person.hair
    rotation = looking(light.lamps[0])
    middle = posed.vertices[: len(head.template)][head.regions["face"]].mean(axis=0) - [0, 0.02, 0]
    shift = -rotation @ middle + [0, 0, SHADOW_FAR]
    camera = posed.vertices @ rotation.T + shift
    focal = SHADOW_FAR / SHADOW_SPAN * SHADOW_SIZE
    K = np.array([[focal, 0, SHADOW_SIZE / 2], [0, focal, SHADOW_SIZE / 2], [0, 0, 1]])
    cast = np.ones(len(faces), bool)
    cast[: len(person.sheet.seen)] = facing(camera, faces[: len(person.sheet.seen)])
    # every other lock casts the shadow of its neighbours, too
    cast[len(faces) - len(hair.faces) :] = hair.strand[hair.faces[:, 0]] < 0.5
    depth = rasterize_mesh(camera, faces[cast], K, SHADOW_SIZE, SHADOW_SIZE).depth
    return depth, np.concatenate([rotation, shift[:, None]], axis=1).astype(np.float32)


@njit()
def _texel_gradients(vertices, faces, uv, uv_faces):
    """[F, 2, 3]: how the texel's column and row grow per metre along a triangle; they turn slopes into tilts."""
    out = np.zeros((len(faces), 2, 3), np.float32)
    for f in range(len(faces)):
        p, q, r = vertices[faces[f, 0]], vertices[faces[f, 1]], vertices[faces[f, 2]]
        e, g = q - p, r - p
        ee, eg, gg = (e * e).sum(), (e * g).sum(), (g * g).sum()
        det = ee * gg - eg * eg
        if det <= 1e-20:
            continue
        for k in range(2):
            de = uv[uv_faces[f, 1], k] - uv[uv_faces[f, 0], k]
            dg = uv[uv_faces[f, 2], k] - uv[uv_faces[f, 0], k]
            a, b = (gg * de - eg * dg) / det, (ee * dg - eg * de) / det
            for c in range(3):
                out[f, k, c] = a * e[c] + b * g[c]
    return out


@njit(inline="always")
def _lit(shadow, to_lamp, softness, x, y, z):
    """0..1, how much of the first lamp reaches a point: 3 × 3 comparisons, ``softness`` pixels apart."""
    size = shadow.shape[0]
    cx = to_lamp[0, 0] * x + to_lamp[0, 1] * y + to_lamp[0, 2] * z + to_lamp[0, 3]
    cy = to_lamp[1, 0] * x + to_lamp[1, 1] * y + to_lamp[1, 2] * z + to_lamp[1, 3]
    cz = to_lamp[2, 0] * x + to_lamp[2, 1] * y + to_lamp[2, 2] * z + to_lamp[2, 3] - np.float32(SHADOW_BIAS)
    scale = np.float32(SHADOW_FAR / SHADOW_SPAN) * size / (cz + np.float32(SHADOW_BIAS))
    column, row = cx * scale + np.float32(0.5) * size, cy * scale + np.float32(0.5) * size
    total = np.float32(0.0)
    for i in range(-1, 2):
        for j in range(-1, 2):
            r, c = int(row + i * softness), int(column + j * softness)
            if r < 0 or c < 0 or r >= size or c >= size or cz <= shadow[r, c]:
                total += np.float32(1.0)
    return total / np.float32(9.0)


@njit(parallel=True)
def _shade(
    triangle, barycentric, faces, vertices, normals, tangents, head_faces, head_vertices, uv, uv_faces, texture,
    material, openness, slopes, hair_colors, hair_across, hair_strand, hair_openness, lamps, ambient, shadow, to_lamp,
    softness, eye, mouth_open, encoded,
):  # fmt: skip
    height, width = triangle.shape
    size = texture.shape[0]
    out = np.zeros((height, width, 3), np.float32)
    for row in numba.prange(height):
        place, normal, view, albedo = (
            np.empty(3, np.float32),
            np.empty(3, np.float32),
            np.empty(3, np.float32),
            np.empty(3, np.float32),
        )
        tangent, sample, light = np.empty(3, np.float32), np.empty(6, np.float32), np.empty(3, np.float32)
        for column in range(width):
            f = triangle[row, column]
            if f < 0:
                continue
            b0, b1, b2 = barycentric[row, column, 0], barycentric[row, column, 1], barycentric[row, column, 2]
            i0, i1, i2 = faces[f, 0], faces[f, 1], faces[f, 2]
            is_hair = f >= head_faces
            length = np.float32(0.0)
            for c in range(3):
                place[c] = b0 * vertices[i0, c] + b1 * vertices[i1, c] + b2 * vertices[i2, c]
                normal[c] = b0 * normals[i0, c] + b1 * normals[i1, c] + b2 * normals[i2, c]
                view[c] = eye[c] - place[c]
                length += view[c] * view[c]
            length = np.sqrt(length)
            gloss, squarings, opened = np.float32(0.0), 4, np.float32(1.0)
            kind = 0
            if is_hair:
                h0, h1, h2 = i0 - head_vertices, i1 - head_vertices, i2 - head_vertices
                opened = b0 * hair_openness[h0] + b1 * hair_openness[h1] + b2 * hair_openness[h2]
                rim = b0 * hair_across[h0] + b1 * hair_across[h1] + b2 * hair_across[h2]
                # hairs inside a lock: dark and light lines along it
                line = np.sin(rim * 5.0 + hair_strand[h0] * 40.0) * np.sin(rim * 11.0 + hair_strand[h0] * 90.0)
                tone = np.float32(1.0 + 0.22 * line) * (1 - np.float32(0.25) * rim * rim)
                for c in range(3):
                    albedo[c] = tone * (b0 * hair_colors[h0, c] + b1 * hair_colors[h1, c] + b2 * hair_colors[h2, c])
                    tangent[c] = b0 * tangents[h0, c] + b1 * tangents[h1, c] + b2 * tangents[h2, c]
            else:
                kind = material[f]
                t0, t1, t2 = uv_faces[f, 0], uv_faces[f, 1], uv_faces[f, 2]
                x = (b0 * uv[t0, 0] + b1 * uv[t1, 0] + b2 * uv[t2, 0]) * size - np.float32(0.5)
                y = (1 - (b0 * uv[t0, 1] + b1 * uv[t1, 1] + b2 * uv[t2, 1])) * size - np.float32(0.5)
                x, y = (
                    min(max(x, np.float32(0)), np.float32(size - 1.001)),
                    min(max(y, np.float32(0)), np.float32(size - 1.001)),
                )
                left, top = int(x), int(y)
                fx, fy = x - np.float32(left), y - np.float32(top)
                for c in range(6):
                    upper = texture[top, left, c] * (1 - fx) + texture[top, left + 1, c] * fx
                    lower = texture[top + 1, left, c] * (1 - fx) + texture[top + 1, left + 1, c] * fx
                    sample[c] = upper * (1 - fy) + lower * fy
                opened = b0 * openness[i0] + b1 * openness[i1] + b2 * openness[i2]
                gloss = sample[5]
                for c in range(3):
                    albedo[c] = sample[c]
                    normal[c] -= sample[3] * slopes[f, 0, c] + sample[4] * slopes[f, 1, c]
                if kind == EYE:
                    opened, squarings = max(opened, np.float32(0.40)), 8
                elif kind == WET:
                    opened, squarings = max(opened, mouth_open), 6
            size_n = np.sqrt(normal[0] * normal[0] + normal[1] * normal[1] + normal[2] * normal[2]) + np.float32(1e-9)
            facing = np.float32(0.0)
            for c in range(3):
                view[c] /= length
                normal[c] /= size_n
                facing += view[c] * normal[c]
            up = ambient[0, 0] * normal[0] + ambient[0, 1] * normal[1] + ambient[0, 2] * normal[2]
            share = np.float32(0.5) + np.float32(0.5) * up
            for c in range(3):
                light[c] = albedo[c] * opened * (share * ambient[1, c] + (1 - share) * ambient[2, c])
            reach = _lit(
                shadow,
                to_lamp,
                softness,
                place[0] + 0.002 * normal[0],
                place[1] + 0.002 * normal[1],
                place[2] + 0.002 * normal[2],
            )
            if kind == WET:
                reach *= mouth_open
            for lamp in range(len(lamps)):
                lx, ly, lz = lamps[lamp, 0], lamps[lamp, 1], lamps[lamp, 2]
                cosine = lx * normal[0] + ly * normal[1] + lz * normal[2]
                arrives = reach if lamp == 0 else opened
                hx, hy, hz = lx + view[0], ly + view[1], lz + view[2]
                half = np.sqrt(hx * hx + hy * hy + hz * hz) + np.float32(1e-9)
                if is_hair:
                    along = lx * tangent[0] + ly * tangent[1] + lz * tangent[2]
                    across = np.sqrt(max(np.float32(0.0), 1 - along * along))
                    diffuse = across * max(np.float32(0.0), np.float32(0.35) + np.float32(0.65) * cosine)
                    bend = (hx * tangent[0] + hy * tangent[1] + hz * tangent[2]) / half
                    shine = max(np.float32(0.0), 1 - bend * bend)
                    for _ in range(5):
                        shine *= shine
                    spec = np.float32(0.06) * shine * max(np.float32(0.0), cosine + np.float32(0.3)) * opened
                    for c in range(3):
                        tint = np.float32(0.35) + np.float32(0.65) * np.sqrt(albedo[c])
                        light[c] += arrives * lamps[lamp, 3 + c] * opened * (albedo[c] * diffuse + spec * tint)
                    continue
                dot = (hx * normal[0] + hy * normal[1] + hz * normal[2]) / half
                grazing = 1 - min(max(facing, np.float32(0)), np.float32(1))
                fresnel = np.float32(0.04) + np.float32(0.5) * grazing * grazing * grazing * grazing * grazing
                shine = max(dot, np.float32(0.0))
                for _ in range(squarings):  # to the power 16 for skin, 64 where it is wet, 256 for eyes
                    shine *= shine
                shine *= gloss * fresnel * ((1 << squarings) + 2) * np.float32(0.125) * max(cosine, np.float32(0.0))
                for c in range(3):
                    wrap = np.float32(LIT_THROUGH[c]) if kind == 0 else np.float32(0.1)
                    through = max(np.float32(0.0), (cosine + wrap) / (1 + wrap))
                    light[c] += (
                        arrives
                        * lamps[lamp, 3 + c]
                        * (albedo[c] * through * (np.float32(0.5) + np.float32(0.5) * opened) + shine)
                    )
            for c in range(3):
                value = light[c]
                if value > SHOULDER:
                    value = np.float32(SHOULDER) + np.float32(1 - SHOULDER) * (
                        1 - np.exp(-(value - SHOULDER) / (1 - SHOULDER))
                    )
                out[row, column, c] = encoded[int(np.sqrt(max(value, np.float32(0.0))) * (len(encoded) - 1) + 0.5)]
    return out
