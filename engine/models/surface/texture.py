"""Colours of the head's surface: what the photos show, then symmetry, then what lies near."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from scipy.ndimage import map_coordinates
from scipy.sparse import csr_array
from scipy.spatial import cKDTree

from engine.curves import smoothstep
from engine.heads.parametric import ParametricHead
from engine.models.surface.lighting import gains, quality
from engine.models.surface.views import ViewGeometry
from engine.photos.photo import Photo

GRAZING = 0.3  # cosine under which a texel's pixels are smeared and not used
SQUARE = 0.6  # cosine from which they count in full; between the two they fade into what is made up beside them
TURNED, TWIN_BETTER = (0.55, 0.85), 0.12  # the same two where the mirrored place is seen by so much more squarely
BROW_SEEN = (0.45, 0.7)  # mean of being seen: a brow below the first is taken whole from one above the second
HALF = 0.5  # of being seen, from which a texel counts as seen where only yes or no will do
BEST_VIEW = 8  # power of the cosine in the mean over photos: nearly the best view alone, without its seams
MATTE_INSET = 3  # px taken off the matte: its rim carries background
SLANT_INSET = 6  # px more where the skin is slanted
BEHIND = 0.003  # m behind the depth buffer that still counts as seen
NEAR_EDGE = 0.012  # m: a texel this far behind a surface within 2 px is beside an occluder's edge
LEAD = 60  # weight of the leading photo: it gives way where another sees a texel 1.7 times as squarely
SURE_COSINE, SURE_INSET = 0.5, 9  # the stricter bar for colours that are carried elsewhere
ODD = 0.14  # of sRGB's range, from the surely seen skin around: at a slant that is hair, ear or collar on the cheek
EVEN = (0.7, 1.6)  # limits of that gain
TWIN_REACH = 0.006  # m between a texel's mirror image and the seen texel that lends its detail
FOLD_RADIUS = 0.05  # m per radian, when hair is folded
NEIGHBOURS = 64
FIELD_SAMPLES, FIELD_BLUR = 3000, 0.006  # known texels behind a smooth field; m under which they count alike
ASIDE, REMOTE = 0.02, 0.09  # m from what is known: from the one on the other side counts too, from the other as much
# What no photo shows of parts that are drawn later (engine.models.parts); networks read it.
UNSEEN = {
    "mouth_interior": (0.13, 0.04, 0.04),
    "tongue": (0.50, 0.22, 0.22),
    "teeth": (0.74, 0.70, 0.63),
    "eyes": (0.88, 0.86, 0.84),
}
FEWEST = 50  # texels of a kind, to learn from them
SKIN_SPREAD = 2.5  # robust deviations from the cheeks' colour beyond which scalp is hair


@dataclass(frozen=True)
class Texels:
    """Surface samples. triangle: [N]; barycentric: [N, 3]; position, normal: [N, 3] on the neutral mesh."""

    triangle: np.ndarray
    barycentric: np.ndarray
    position: np.ndarray
    normal: np.ndarray

    def sample(self, faces: np.ndarray, attribute: np.ndarray) -> np.ndarray:
        """[N, C] a vertex attribute [V, C] at the texels."""
        return np.einsum("nkc,nk->nc", attribute[faces[self.triangle]], self.barycentric)

    def member(self, head: ParametricHead, *regions: str) -> np.ndarray:
        """[N] bool: texels on triangles of any of the regions."""
        return head.face_region(*regions)[self.triangle]


@dataclass(frozen=True)
class Texture:
    """colors: [N, 3] 0..1, in the leading photo's light; seen: [N] 0..1, how squarely some photo shows the texel;
    sure: [N] bool, it does so far from the matte's rim, too; owner: [N] the photo that colours it most."""

    colors: np.ndarray
    seen: np.ndarray
    sure: np.ndarray
    owner: np.ndarray


def look_at(
    head: ParametricHead, texels: Texels, photo: Photo, g: ViewGeometry
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One photo's colours [N, 3], cosines [N] (0 where unseen) and sureness [N] at the texels."""
    corners = g.camera[head.faces]
    flat = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normal = flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-15)
    camera = texels.sample(head.faces, g.camera)
    cosine = -(normal[texels.triangle] * camera).sum(axis=1) / np.linalg.norm(camera, axis=1)
    pixels = texels.sample(head.faces, g.pixels)
    size = photo.alpha.shape[0]
    inside = ((pixels > 1) & (pixels < size - 1)).all(axis=1)
    column, row = pixels.astype(int).clip(0, size - 1).T
    depth = camera[:, 2]
    buffer = np.where(np.isfinite(g.raster.depth), g.raster.depth, 1e3).astype(np.float32)
    nearest = cv2.erode(buffer, np.ones((5, 5), np.uint8))
    core = cv2.erode(photo.alpha, np.ones((2 * SURE_INSET + 1,) * 2, np.uint8))
    rim = cv2.distanceTransform((photo.alpha > 0.9).astype(np.uint8), cv2.DIST_L2, 5)[row, column]
    seen = inside & (depth < buffer[row, column] + BEHIND) & (depth < nearest[row, column] + NEAR_EDGE)
    seen &= (rim > MATTE_INSET + SLANT_INSET * np.clip(1 - cosine / SQUARE, 0, 1)) & (cosine > GRAZING)
    yx = (pixels[:, 1] - 0.5, pixels[:, 0] - 0.5)
    # towards the matte's rim the photo's own colours carry the background
    clean = np.where((photo.alpha > 0.98)[..., None], photo.image, photo.foreground)
    colors = np.stack([map_coordinates(clean[..., c], yx, order=1, mode="nearest") for c in range(3)], axis=1)
    sure = seen & (core[row, column] > 0.9) & (cosine > SURE_COSINE)
    return colors, np.where(seen, cosine.clip(0), 0.0), sure


def project_photos(
    head: ParametricHead,
    texels: Texels,
    photos: Sequence[Photo],
    geometry: Sequence[ViewGeometry],
    lights: np.ndarray,
    leading: int,
) -> Texture:
    """Reprojection of all photos, each brought into the leading one's light.

    Every texel belongs to one photo, but for narrow seams: blends of photos that disagree by a millimetre are blurred.
    The leading photo has what it sees well; the others fill in what it does not.

    Args:
        lights: [P, 9, 3] of each photo against the leading one's.
        leading: the photo that alone colours the torso, whose pose in the others is only guessed yet.
    """
    looks = [look_at(head, texels, photo, g) for photo, g in zip(photos, geometry, strict=True)]
    torso = texels.member(head, "torso")
    for i, (_, cosine, sure) in enumerate(looks):
        if i != leading:
            cosine[torso], sure[torso] = 0, False
    normals = texels.normal / np.maximum(np.linalg.norm(texels.normal, axis=1, keepdims=True), 1e-12)
    directions = torch.from_numpy(normals)
    colors = [
        look[0] / gains(torch.from_numpy(light), directions).numpy() for look, light in zip(looks, lights, strict=True)
    ]
    worth = quality(photos)
    worth[leading] = LEAD * worth.max()
    weights = [w * look[1] ** BEST_VIEW for w, look in zip(worth, looks, strict=True)]
    total = np.sum(weights, axis=0)
    blended = np.sum([w[:, None] * c for c, w in zip(colors, weights, strict=True)], axis=0)
    best = np.max([look[1] for look in looks], axis=0)
    _, twin = _mirror(texels.position, texels.position)
    better = np.clip((best[twin] - best - TWIN_BETTER) / TWIN_BETTER, 0, 1)  # a turned face: its near side knows more
    low, high = GRAZING + (TURNED[0] - GRAZING) * better, SQUARE + (TURNED[1] - SQUARE) * better
    seen = smoothstep(best, low, high)
    _whole_brows(head, texels, seen, sure := np.any([look[2] for look in looks], axis=0))
    colors_seen = np.clip(blended / np.maximum(total, 1e-12)[:, None], 0, 1)
    seen[_strays(head, texels, colors_seen, seen, sure)] = 0
    _even_out(head, texels, colors_seen, seen, sure)
    return Texture(colors_seen, seen, sure, np.argmax(weights, axis=0))


def _whole_brows(head: ParametricHead, texels: Texels, seen: np.ndarray, sure: np.ndarray) -> None:
    """Forget a brow [N] that is seen at a slant where the other one is seen well: half a brow beside its mirrored half
    would be two."""
    brows, left = texels.member(head, "brows"), texels.position[:, 0] > 0
    for side in (left, ~left):
        mine, other = brows & side, brows & ~side
        if mine.any() and other.any() and seen[mine].mean() < BROW_SEEN[0] and seen[other].mean() > BROW_SEEN[1]:
            seen[mine], sure[mine] = 0, False


def _strays(head: ParametricHead, texels: Texels, colors: np.ndarray, seen: np.ndarray, sure: np.ndarray) -> np.ndarray:
    """[N] bool: slanted skin texels that show something else than the skin around them."""
    skin = texels.member(head, "face", "ears", "neck") & ~texels.member(head, "lips", "lids", "brows")
    known, doubtful = np.flatnonzero(skin & sure), np.flatnonzero(skin & (seen > 0) & ~sure)
    strays = np.zeros(len(seen), bool)
    if len(known) > FEWEST and len(doubtful):
        around, _ = Surroundings(texels.position[known], colors[known]).at(texels.position[doubtful])
        strays[doubtful] = np.abs(colors[doubtful] - around).max(axis=1) > ODD
    return strays


def _even_out(head: ParametricHead, texels: Texels, colors: np.ndarray, seen: np.ndarray, sure: np.ndarray) -> None:
    """Give slanted skin the brightness of the skin around, in ``colors`` [N, 3]: a face is darker towards its outline,
    which would stay on a turned head as a stain beside what is made up."""
    skin = texels.member(head, "face", "ears", "neck", "scalp") & ~texels.member(head, "lips", "lids", "brows")
    known, slanted = np.flatnonzero(skin & sure & (seen > 0.99)), np.flatnonzero(skin & (seen > 0) & (seen < 1))
    if len(known) < FEWEST or len(slanted) < FEWEST:
        return
    around, _ = Surroundings(texels.position[known], colors[known]).at(texels.position[slanted])
    own, _ = Surroundings(texels.position[slanted], colors[slanted]).at(texels.position[slanted])
    gain = np.clip(around / np.maximum(own, 0.02), *EVEN)
    colors[slanted] *= 1 + (1 - seen[slanted, None]) * (gain - 1)
    np.clip(colors, 0, 1, out=colors)


class Surroundings:
    """Smooth colour fields from scattered known texels: what lies near, without its detail."""

    def __init__(self, position: np.ndarray, colors: np.ndarray, seed: int = 0):
        pick = np.random.default_rng(seed).permutation(len(position))[:FIELD_SAMPLES]
        self._tree, self._colors = cKDTree(position[pick]), colors[pick]

    def at(self, points: np.ndarray, blur: float = FIELD_BLUR) -> tuple[np.ndarray, np.ndarray]:
        """Inverse-square-distance mean of the nearest colours [M, 3], and the distance [M] to the nearest.

        Args:
            blur: metres under which all count alike.
        """
        distance, index = self._tree.query(points, k=min(NEIGHBOURS, self._tree.n), workers=-1)
        weight = 1 / np.maximum(distance, blur) ** 2
        rows = np.arange(0, index.size + 1, index.shape[1])
        mix = csr_array((weight.ravel(), index.ravel(), rows), (len(points), self._tree.n))
        return mix @ self._colors / weight.sum(axis=1, keepdims=True), distance[:, 0]


def complete(head: ParametricHead, texels: Texels, texture: Texture) -> np.ndarray:
    """[N, 3] colours everywhere: mirrored skin and folded hair, matched to their surroundings; else what lies near."""
    colors, sure, seen = texture.colors.copy(), texture.sure, texture.seen > HALF
    inner = texels.member(head, *UNSEEN, "lashes")
    scalp, lids, brows = (texels.member(head, name) for name in ("scalp", "lids", "brows"))
    torso, neck = texels.member(head, "torso"), texels.member(head, "neck")
    plain = ~inner & ~scalp & ~lids & ~torso & ~neck & ~brows
    hair = _hair_only(head, texels, colors, sure, scalp & sure)
    if hair.sum() < FEWEST:
        hair = _hair_only(head, texels, colors, sure, scalp & seen)
    skin = plain & sure
    # an open lid's hidden fold is skin: it must not take on the lashes' dark rim; a brow is lit as the skin under it
    groups = (
        (scalp, hair, _fold, hair),
        (lids, skin, _mirror, skin),
        (torso, torso & seen, _mirror, torso & seen),
        (neck, (neck | plain) & sure, _mirror, (neck | plain) & sure),
        (brows, brows & sure, _mirror, skin),
        (plain, skin, _mirror, skin),
    )
    for group, known, twin_of, lit in groups:
        known, unknown = np.flatnonzero(known), np.flatnonzero(group & (texture.seen < 1))
        if len(known) < FEWEST:  # plain skin then, and not its detail far away from where it was seen
            known, twin_of, lit = np.flatnonzero(plain & seen), _mirror, plain & seen
        if not len(unknown) or not len(known) or not lit.any():
            continue
        field = Surroundings(texels.position[lit], colors[lit])
        near, distance = field.at(texels.position[unknown])
        # far from all that is known, both sides count alike, or the two would meet in a seam
        other, _ = field.at(texels.position[unknown] * [-1, 1, 1])
        remote = smoothstep(distance, ASIDE, REMOTE)[:, None] / 2
        near = near * (1 - remote) + other * remote
        reach, twin = twin_of(texels.position[known], texels.position[unknown])
        around_twin, _ = field.at(texels.position[known[twin]])
        # the borrowed detail takes on the light of the place where it is put
        gain = np.clip(near / np.maximum(around_twin, 0.02), 0.5, 2.0)
        lent = np.clip(colors[known[twin]] * gain, 0, 1)
        fade = np.clip(2 - reach / TWIN_REACH, 0, 1)[:, None]
        made_up = lent * fade + near * (1 - fade)
        share = texture.seen[unknown, None]
        colors[unknown] = texture.colors[unknown] * share + made_up * (1 - share)
    face = seen & texels.member(head, "face", "lips")
    light = np.clip(np.median(colors[face], axis=0).mean() / 0.55, 0.4, 1.2) if face.any() else 1.0
    for name, color in UNSEEN.items():
        colors[texels.member(head, name) & ~seen] = np.array(color) * light
    return colors


def _mirror(known: np.ndarray, unknown: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distance [M] to, and index [M] of, the known texel nearest to each unknown one's mirror image."""
    return cKDTree(known).query(unknown * [-1, 1, 1], workers=-1)


def _fold(known: np.ndarray, unknown: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The same for hair: the seen front is folded back and forth around the vertical axis onto the unseen back."""
    centre = np.array([0.0, known[:, 1].mean() - 0.04, unknown[:, 2].mean() / 2])

    def polar(points: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        x, y, z = (points - centre).T
        return np.arctan2(np.abs(x), z), np.arctan2(y, np.hypot(x, z)), np.sign(x)

    azimuth, height, side = polar(known)
    last = np.quantile(azimuth, 0.95)
    turned, level, flank = polar(unknown)
    period = turned % (2 * last)
    folded = np.where(period > last, 2 * last - period, period)
    tree = cKDTree(np.column_stack([azimuth * side, height]))
    distance, index = tree.query(np.column_stack([folded * np.where(flank == 0, 1, flank), level]), workers=-1)
    return distance * FOLD_RADIUS, index


def _hair_only(
    head: ParametricHead, texels: Texels, colors: np.ndarray, sure: np.ndarray, known: np.ndarray
) -> np.ndarray:
    """[N] bool: of the known scalp texels those that do not have the face's skin colour; all on a shaved head."""
    face = colors[sure & texels.member(head, "face")]
    if not len(face) or not known.any():
        return known
    middle = np.median(face, axis=0)
    spread = np.maximum(1.4826 * np.median(np.abs(face - middle), axis=0), 0.02)
    is_hair = known & (np.abs((colors - middle) / spread).max(axis=1) > SKIN_SPREAD)
    return is_hair if is_hair.sum() > 0.15 * known.sum() else known
