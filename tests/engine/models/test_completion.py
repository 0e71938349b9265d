"""What no photo shows, on a head whose true colours are known."""

from dataclasses import replace

import numpy as np
import pytest

from engine.heads.atlas import texels_for_count
from engine.heads.rig import make_rig
from engine.models.surface import _texels
from engine.models.surface.completion import complete
from engine.models.surface.membrane import Membrane
from engine.models.surface.texture import SKIN, Texture

TONE, HAIR, SHIRT = np.array([0.75, 0.55, 0.45]), np.array([0.2, 0.15, 0.1]), np.array([0.1, 0.2, 0.6])


@pytest.fixture(scope="module")
def bare(head):
    """Texels of the mean head, its vertices and its skin."""
    rig = make_rig(head, head.template, head.joint_regressor @ head.template)
    texels = _texels(head, rig, texels_for_count(head.uv, head.uv_faces, 40_000))[0]
    vertices = rig.neutral.numpy().astype(np.float64)
    return texels, vertices, Membrane(vertices, head.faces, head.face_region(*SKIN))


@pytest.fixture(scope="module")
def photographed(head, bare):
    """A man in a blue shirt from in front: skin darker and strewn with background towards the outline."""
    texels = bare[0]
    normal = texels.normal / np.linalg.norm(texels.normal, axis=1, keepdims=True)
    cosine = normal[:, 2].clip(0)
    colors = np.tile(TONE, (len(cosine), 1))
    scalp, torso = texels.member(head, "scalp"), texels.member(head, "torso")
    colors[scalp], colors[torso] = HAIR, SHIRT
    seen, strict = np.clip((cosine - 0.2) / 0.3, 0, 1), np.clip((cosine - 0.4) / 0.3, 0, 1)
    random = np.random.default_rng(0)
    stray = (seen < 0.5) & (random.random(len(seen)) < 0.3)
    colors[stray] = 0.95
    hair = scalp.astype(float)
    return Texture(
        colors, np.clip(cosine / 0.2, 0, 1), seen, seen, strict, strict > 0.3, np.zeros(len(seen), int),
        1.0 - (scalp | torso), hair, np.ones(len(seen)),
    )  # fmt: skip


def unseen(texture, mask):
    chosen = mask & (texture.seen == 0)
    assert chosen.sum() > 100
    return chosen


@pytest.mark.slow
def test_cheeks_nape_and_ears_are_skin_without_what_hung_at_the_outline(head, bare, photographed):
    texels, vertices, skin = bare
    made = complete(head, vertices, texels, photographed, skin)
    plain = texels.member(head, "face") & ~texels.member(head, "lips", "lids", "brows")
    # hair passes into skin over some millimetres, so the sides of the face a little below it
    low = texels.position[:, 1] < texels.position[texels.member(head, "ears"), 1].max()
    cheeks = made[unseen(photographed, plain & low)]
    assert np.abs(np.median(cheeks, axis=0) - TONE).max() < 0.03
    assert np.percentile(np.abs(cheeks - TONE).max(axis=1), 90) < 0.2  # hollows are darker
    nape = made[unseen(photographed, texels.member(head, "neck"))]
    assert np.abs(np.median(nape, axis=0) - TONE).max() < 0.1


@pytest.mark.slow
def test_the_back_of_the_head_is_hair_and_the_back_of_the_shirt_is_shirt(head, bare, photographed):
    texels, vertices, skin = bare
    made = complete(head, vertices, texels, photographed, skin)
    behind = texels.position[:, 2] < np.median(texels.position[texels.member(head, "scalp"), 2])
    hair = made[unseen(photographed, texels.member(head, "scalp") & behind)]
    assert np.abs(np.median(hair, axis=0) - HAIR).max() < 0.03
    shirt = made[unseen(photographed, texels.member(head, "torso"))]
    assert np.abs(np.median(shirt, axis=0) - SHIRT).max() < 0.05


def test_a_shaved_head_is_skin_all_around(head, bare, photographed):
    texels, vertices, skin = bare
    scalp = texels.member(head, "scalp")
    colors = photographed.colors.copy()
    colors[scalp & (photographed.seen > 0)] = TONE
    shaved = replace(
        photographed, colors=colors, skin=np.where(scalp, 1.0, photographed.skin), hair=np.zeros(len(scalp))
    )
    made = complete(head, vertices, texels, shaved, skin)
    assert np.abs(np.median(made[unseen(shaved, scalp)], axis=0) - TONE).max() < 0.05


@pytest.mark.slow
def test_what_is_seen_well_stays_as_it_is(head, bare, photographed):
    texels, vertices, skin = bare
    made = complete(head, vertices, texels, photographed, skin)
    well = (photographed.seen == 1) & texels.member(head, "face", "scalp", "torso")
    assert np.abs(made - photographed.colors)[well].max() < 1e-9
