"""Colours of the head's surface as photos show them, in one light, and how well each place is shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from scipy.ndimage import map_coordinates
from scipy.spatial import cKDTree

from engine.curves import smoothstep
from engine.heads.parametric import ParametricHead
from engine.heads.portrait import vertex_normals
from engine.models.head_gaussians import HALF
from engine.models.surface.kinds import FEWEST, kinds, shade_of
from engine.models.surface.lighting import gains, quality
from engine.models.surface.membrane import Membrane
from engine.models.surface.views import ViewGeometry
from engine.photos.photo import Photo

GRAZING, SQUARE = 0.2, 0.5  # cosine under which a texel's pixels are smeared and not used, and from which fully
EDGE = 0.05  # cosine from which it still tells hair from skin
STRICT = (0.4, 0.7)  # the same two for a place's overall colour: a face is darker and warmer towards its outline
TURNED, TWIN_BETTER = (0.35, 0.65), 0.12  # the first two where the mirrored place is seen by so much more squarely
BROW_SEEN = (0.45, 0.7)  # mean of being seen: a brow below the first is taken whole from one above the second
BEST_VIEW = 8  # power of the cosine in the mean over photos: nearly the best view alone, without its seams
MATTE_INSET = 3  # px taken off the matte: its rim carries background
SLANT_INSET = 6  # px more where the skin is slanted
BEHIND = 0.003  # m behind the depth buffer that still counts as seen
NEAR_EDGE = 0.012  # m: a texel this far behind a surface within 2 px is beside an occluder's edge
LEAD = 60  # weight of the leading photo: it gives way where another sees a texel 1.7 times as squarely
SURE_COSINE, SURE_INSET = 0.5, 9  # the stricter bar for colours that are carried elsewhere
ODD = (0.08, 0.16)  # of sRGB's range off the skin around: at a slant that is hair, ear or collar on the cheek
DETAIL = 0.006  # m under which a difference of colour is the skin's own, and not the light's
LEVEL, MOST_LEVEL = 0.01, 0.25  # m over which photos are levelled to the leading one; at most, of sRGB's range
BORDER, DRAWN_IN = 0.004, (0.3, 0.7)  # m over which the border of what is seen is drawn in, so that it has no teeth;
# mean of being seen over that, from which it begins and ends
SKIN = ("face", "ears", "neck", "scalp", "lids", "brows", "lips")  # one sheet, of which hair and brows are painted
ROOTED = (0.1, 0.4)  # share of hair in what is seen well around, under which a slant shows none, and from which it does
SEAM = (0.6, 0.95)  # share of a photo's own texels around, under which one is beside a seam, and from which it is not
FEATURES = ("lips", "lids", "brows")  # skin that does not have the colour of what is around


@dataclass(frozen=True)
class Texels:
    """Surface samples. triangle: [N]; barycentric: [N, 3]; position, normal: [N, 3] on the neutral mesh."""

    triangle: np.ndarray
    barycentric: np.ndarray
    position: np.ndarray
    normal: np.ndarray

    @property
    def directions(self) -> np.ndarray:
        """[N, 3] the normals at unit length."""
        return self.normal / np.maximum(np.linalg.norm(self.normal, axis=1, keepdims=True), 1e-12)

    def sample(self, faces: np.ndarray, attribute: np.ndarray) -> np.ndarray:
        """[N, C] a vertex attribute [V, C] at the texels."""
        return np.einsum("nkc,nk->nc", attribute[faces[self.triangle]], self.barycentric)

    def member(self, head: ParametricHead, *regions: str) -> np.ndarray:
        """[N] bool: texels on triangles of any of the regions."""
        return head.face_region(*regions)[self.triangle]

    def smooth(
        self, head: ParametricHead, membrane: Membrane, values: np.ndarray, weights: np.ndarray, length: float
    ) -> np.ndarray:
        """[N, C] at the texels: what a membrane makes of values [N, C], each of a weight [N]."""
        counted = np.flatnonzero(weights > 1e-4)
        at_vertices = membrane.fit(
            self.triangle[counted], self.barycentric[counted], values[counted], weights[counted], length
        )
        return self.sample(head.faces, at_vertices)


@dataclass(frozen=True)
class Texture:
    """What the photos show.

    Attributes:
        colors: [N, 3] 0..1, in the leading photo's light.
        glimpsed: [N] 0..1, whether some photo shows it at all.
        seen: [N] 0..1, how squarely some photo shows the texel. owned: [N] 0..1, how squarely its owner does.
            strict: [N] 0..1, the first by the stricter bar that the overall colour needs.
        sure: [N] bool, it does so far from the matte's rim, too. owner: [N] the photo that colours it most.
        skin, hair: [N] 0..1, how much the colour is the face's, and the hair's.
        shade: [N] about 1, how bright skin is for where it faces.
    """

    colors: np.ndarray
    glimpsed: np.ndarray
    seen: np.ndarray
    owned: np.ndarray
    strict: np.ndarray
    sure: np.ndarray
    owner: np.ndarray
    skin: np.ndarray
    hair: np.ndarray
    shade: np.ndarray


def look_at(
    head: ParametricHead, texels: Texels, photo: Photo, g: ViewGeometry
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One photo's colours [N, 3], cosines [N] (0 where unseen) and sureness [N] at the texels."""
    normal = texels.sample(head.faces, vertex_normals(g.camera, head.faces))
    camera = texels.sample(head.faces, g.camera)
    lengths = np.linalg.norm(normal, axis=1) * np.linalg.norm(camera, axis=1)
    cosine = -(normal * camera).sum(axis=1) / np.maximum(lengths, 1e-12)
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
    seen &= (rim > MATTE_INSET + SLANT_INSET * np.clip(1 - cosine / SQUARE, 0, 1)) & (cosine > EDGE)
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
    skin: Membrane,
    lights: np.ndarray,
    leading: int,
) -> Texture:
    """Reprojection of all photos, each brought into the leading one's light.

    Every texel belongs to one photo, but for narrow seams: blends of photos that disagree by a millimetre are blurred.
    The leading photo has what it sees well; the others fill in what it does not, levelled to it.

    Args:
        skin: over which colours spread. lights: [P, 9, 3] of each photo against the leading one's.
        leading: the photo that alone colours the torso, whose pose in the others is only guessed yet.
    """
    looks = [look_at(head, texels, photo, g) for photo, g in zip(photos, geometry, strict=True)]
    torso = texels.member(head, "torso")
    for i, (_, cosine, sure) in enumerate(looks):
        if i != leading:
            cosine[torso], sure[torso] = 0, False
    normals = texels.directions
    directions = torch.from_numpy(normals)
    colors = [
        look[0] / gains(torch.from_numpy(light), directions).numpy() for look, light in zip(looks, lights, strict=True)
    ]
    cosines = np.stack([look[1] for look in looks])
    on_skin = texels.member(head, *SKIN)
    plain = on_skin & ~texels.member(head, *FEATURES)
    for i in range(len(photos)):
        if i != leading:
            both = smoothstep(np.minimum(cosines[i], cosines[leading]), *STRICT) * plain
            colors[i] = colors[i] + _step(head, texels, skin, colors[leading] - colors[i], both) * on_skin[:, None]
    worth = quality(photos)
    worth[leading] = LEAD * worth.max()
    weights = worth[:, None] * cosines**BEST_VIEW
    blended = np.einsum("pn,pnc->nc", weights, np.stack(colors))
    shown = np.clip(blended / np.maximum(weights.sum(axis=0), 1e-12)[:, None], 0, 1)
    owner = np.argmax(weights, axis=0)

    best = cosines.max(axis=0)
    _, twin = cKDTree(texels.position).query(texels.position * [-1, 1, 1], workers=-1)
    better = np.clip((best[twin] - best - TWIN_BETTER) / TWIN_BETTER, 0, 1)  # a turned face: its near side knows more
    low, high = GRAZING + (TURNED[0] - GRAZING) * better, SQUARE + (TURNED[1] - SQUARE) * better
    seen, strict, glimpsed = smoothstep(best, low, high), smoothstep(best, *STRICT), smoothstep(best, EDGE, GRAZING)
    _whole_brows(head, texels, seen, sure := np.any([look[2] for look in looks], axis=0))
    strict *= sure

    scalp, brows = texels.member(head, "scalp"), texels.member(head, "brows")
    face = texels.member(head, "face") & plain & (strict > HALF)
    bare, hair = kinds(shown, texels.position[:, 1], face, scalp, seen > HALF)
    if hair.any():  # at a slant, hair must grow from hair that is seen well, or it is what lies behind
        rooted = texels.smooth(head, skin, hair[:, None], strict * on_skin, LEVEL)[:, 0]
        hair *= strict + (1 - strict) * smoothstep(rooted, *ROOTED)
    strands = glimpsed * hair * ~brows  # are hardly mistaken, and none would be made up in their place
    shade = shade_of(normals, shown, strict * (plain & ~scalp) * bare * (1 - hair))
    seen = np.maximum(seen, strands)
    _settle(head, texels, skin, shown, seen, strict, hair, shade)

    mine = cosines[owner, np.arange(len(owner))]
    owned = np.minimum(seen, np.maximum(smoothstep(mine, low, high), smoothstep(mine, EDGE, GRAZING) * strands))
    if len(photos) > 1:
        owned *= _inside(head, texels, skin, owner)
    return Texture(shown, glimpsed, seen, owned, strict, sure, owner, bare, hair, shade)


def _inside(head: ParametricHead, texels: Texels, skin: Membrane, owner: np.ndarray) -> np.ndarray:
    """[N] 0..1: how far a texel is from what another photo owns. Two photos never agree to the pixel, and what lies
    beside their seam must not be free to make up for it."""
    inside = np.ones(len(owner))
    for photo in np.unique(owner):
        mine = owner == photo
        share = texels.smooth(head, skin, mine[:, None].astype(float), np.ones(len(owner)), BORDER)[:, 0]
        inside[mine] = smoothstep(share, *SEAM)[mine]
    return inside


def _step(head: ParametricHead, texels: Texels, skin: Membrane, differ: np.ndarray, both: np.ndarray) -> np.ndarray:
    """[N, 3] what to add to a photo so that it passes into the leading one without a step.

    Args:
        differ: [N, 3] from one to the other. both: [N] 0..1, how well both are seen.
    """
    if both.sum() < FEWEST:
        return np.zeros_like(differ)
    return texels.smooth(head, skin, differ.clip(-MOST_LEVEL, MOST_LEVEL), both, LEVEL)


def _whole_brows(head: ParametricHead, texels: Texels, seen: np.ndarray, sure: np.ndarray) -> None:
    """Forget a brow [N] that is seen at a slant where the other one is seen well: half a brow beside its mirrored half
    would be two."""
    brows, left = texels.member(head, "brows"), texels.position[:, 0] > 0
    for side in (left, ~left):
        mine, other = brows & side, brows & ~side
        if mine.any() and other.any() and seen[mine].mean() < BROW_SEEN[0] and seen[other].mean() > BROW_SEEN[1]:
            seen[mine], sure[mine] = 0, False


def _settle(
    head: ParametricHead,
    texels: Texels,
    skin: Membrane,
    colors: np.ndarray,
    seen: np.ndarray,
    strict: np.ndarray,
    hair: np.ndarray,
    shade: np.ndarray,
) -> None:
    """Forget what slanted skin shows of something else, and give it the overall colour of the skin around: a face is
    darker towards its outline, which would stay on a turned head as a stain. Changes ``colors`` and ``seen``."""
    plain = texels.member(head, "face", "ears", "neck") & ~texels.member(head, *FEATURES)
    if (strict * plain).sum() < FEWEST:
        return
    around = texels.smooth(head, skin, colors / shade[:, None], strict * plain * (1 - hair), DETAIL) * shade[:, None]
    shown = texels.smooth(head, skin, colors, seen * plain * (1 - hair), BORDER)  # not each texel: that leaves crumbs
    seen[plain] *= 1 - ((1 - strict) * (1 - hair) * smoothstep(np.abs(shown - around).max(axis=1), *ODD))[plain]
    border = texels.smooth(head, skin, seen[:, None], np.ones(len(seen)), BORDER)[:, 0]
    seen[plain] *= np.maximum(smoothstep(border, *DRAWN_IN), hair)[plain]
    own = texels.smooth(head, skin, colors, seen * plain * (1 - hair), DETAIL)
    colors[plain] += (((1 - strict) * (1 - hair))[:, None] * (around - own))[plain]
    np.clip(colors, 0, 1, out=colors)
