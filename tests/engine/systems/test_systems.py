"""The five from photos to Gaussians on the rig: a fresh one already draws its photos, and follows expressions."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from engine.arkit import ARKIT_NAMES
from engine.errors import EngineError
from engine.heads.atlas import make_atlas, position_map
from engine.models.learned.posed_images import PAINTED, PosedImages, driving_code
from engine.models.learned.system import Paint, UVMap
from engine.models.surface import surface
from engine.progress import Progress
from engine.synthetic.portraits import portrait, true_tracking
from engine.systems import make_system
from engine.systems.avat3r import Avat3rSystem, _place_pixels
from engine.training.objective import posed_sample
from tests.engine.systems.people import (
    NAMES,
    SIZE,
    acted,
    captured,
    decibels,
    drawn,
    head,
    person,
    posed,
    shelved,
    system,
)  # fmt: skip

pytestmark = pytest.mark.slow

MOUTH = ("mouth_interior", "teeth", "tongue")


@pytest.fixture(scope="module")
def surface_decibels() -> float:
    """What the ``surface`` system reaches from one photo."""
    taken = captured(1)
    made = surface([portrait(person(), 0)], true_tracking(person(), [0]), head(), Progress(), 40_000)
    splats = posed(made.gaussians, made.rig, taken.expressions[0], taken.joint_rotations[0])
    return decibels(drawn(splats, taken.viewmats[0], taken.Ks[0]), taken.images[0].permute(1, 2, 0), taken.seen[0])


def against_photo(taken: PosedImages, name: str, photos: int, view: int) -> tuple[float, float]:
    """PSNR on the skin of a fresh system's picture, and of the photo's own mean colour."""
    goal, skin = taken.images[view].permute(1, 2, 0), taken.seen[view]
    splats = posed(acted(name, photos, view), taken.rig, taken.expressions[view], taken.joint_rotations[view])
    flat = goal[skin].mean(0).expand_as(goal)
    return decibels(drawn(splats, taken.viewmats[view], taken.Ks[view]), goal, skin), decibels(flat, goal, skin)


@pytest.mark.parametrize("photos", [1, 2, 4])
@pytest.mark.parametrize("name", NAMES)
def test_a_fresh_network_draws_the_photos_that_it_was_given(name, photos, surface_decibels):
    taken = captured(photos)
    scores = [against_photo(taken, name, photos, view) for view in {0, photos - 1}]
    for reached, flat in scores:
        assert reached > flat + 3.5
    if photos == 1:
        assert scores[0][0] > surface_decibels - 5.5
    bound = acted(name, photos, 0)
    assert bool(torch.isfinite(torch.cat([field.float().flatten() for field in vars(bound).values()])).all())
    assert bound.opacities.min() >= 0 and bound.opacities.max() <= 1


@pytest.mark.parametrize("name", ["ffavatar", "uika", "flexavatar"])
def test_the_order_of_photos_does_not_matter(name):
    taken, order = captured(4), [2, 0, 3, 1]
    turned = posed_sample(shelved(), order, taken.texture, head())
    code = taken.motions[0]
    one, other = (system(name).animate(system(name).encode(each), code) for each in (taken, turned))
    for field in ("offsets", "quats", "scales", "opacities", "colors"):
        torch.testing.assert_close(getattr(other, field), getattr(one, field), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_lips_part_and_the_mouth_is_dark_inside(name):
    """At the pixels of the open mouth, where lips are while it is closed."""
    taken, learned = captured(4), system(name)
    encoded = learned.encode(taken)
    viewmat, K = taken.head_viewmats[0], taken.Ks[0]
    rest = torch.zeros_like(taken.joint_rotations[0])
    brightness, mouths = [], []
    for weight in (0.0, 0.9):
        expression = torch.zeros(len(encoded.rig.expression_basis))
        expression[ARKIT_NAMES.index("jawOpen")] = weight
        still = replace(
            taken, viewmats=viewmat[None], Ks=K[None], expressions=expression[None], joint_rotations=rest[None]
        )
        inside = torch.from_numpy(head().face_region(*MOUTH))
        triangle = still.raster[0][0]
        mouths.append((triangle >= 0) & inside[triangle.clamp_min(0)])
        bound = learned.animate(encoded, driving_code(encoded.rig, expression, rest))
        brightness.append(drawn(posed(bound, encoded.rig, expression, rest), viewmat, K).mean(-1))
    opened = mouths[1] & ~mouths[0]
    assert opened.sum() > 100
    # the product draws the mouth itself (engine.models.parts); here it only has to look into it
    assert brightness[1][opened].mean() < brightness[0][opened].mean() - 0.03


def test_hair_beside_the_mesh_comes_back_to_its_pixel():
    """Avat3r's Gaussians lie at rest; posed as in their photo, in float64 and by hand, each is at its pixel again."""
    taken = captured(4)
    encoded = system("avat3r").encode(taken)
    cache, faces = encoded.state.cache, taken.rig.faces.numpy()
    number = torch.nonzero(cache.keep[0])[:, 0]
    pixel = torch.stack((number % SIZE + 0.5, number % SIZE**2 // SIZE + 0.5), dim=1).double().numpy()
    view = (number // SIZE**2).numpy()
    rest = cache.positions[0][cache.keep[0]].double().numpy()
    beside = ~taken.seen.flatten()[number].numpy()
    assert beside.sum() > 1000 and (~beside).sum() > 20_000
    neutral = taken.rig.neutral.double().numpy()
    triangles, weights = encoded.triangles.numpy(), encoded.barycentrics.double().numpy()

    def frames(vertices: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        a, b, c = (vertices[faces[triangles, k]] for k in range(3))
        x, normal = (b - a) / np.linalg.norm(b - a, axis=1)[:, None], np.cross(b - a, c - a)
        z = normal / np.linalg.norm(normal, axis=1)[:, None]
        anchor = weights[:, :1] * a + weights[:, 1:2] * b + weights[:, 2:] * c
        return np.stack((x, np.cross(z, x), z), axis=1), anchor, np.linalg.norm(normal, axis=1)

    axes, anchors, areas = frames(neutral)
    local = np.einsum("nij,nj->ni", axes, rest - anchors)
    error = np.full(len(rest), np.nan)
    for v in range(4):
        mine = view == v
        axes, anchors, grown = frames(taken.posed[v].double().numpy())
        stretch = np.sqrt(np.clip(grown / areas, 0.25, 6.25))
        back = anchors + stretch[:, None] * np.einsum("nij,ni->nj", axes, local)
        camera = back @ taken.viewmats[v, :3, :3].double().numpy().T + taken.viewmats[v, :3, 3].double().numpy()
        seen = camera @ taken.Ks[v].double().numpy().T
        error[mine] = np.linalg.norm(seen[:, :2] / seen[:, 2:] - pixel, axis=1)[mine]
    assert error[~beside].max() < 0.05
    assert error[beside].max() < 0.1


def test_paint_reads_the_texel_that_holds_each_point():
    h = head()
    texels = UVMap(h, 192)
    paint = Paint(h, texels.triangles, texels.barycentrics)
    fine = make_atlas(h.uv, h.uv_faces, PAINTED)
    read = paint.read(torch.from_numpy(np.argwhere(fine.mask)))
    empty = 0
    for point in np.random.default_rng(2).choice(len(texels.triangles), 2000, replace=False):
        u = v = 0.0
        for corner in range(3):
            weight = float(texels.barycentrics[point, corner])
            place = h.uv[h.uv_faces[int(texels.triangles[point]), corner]]
            u, v = u + weight * float(place[0]), v + weight * float(place[1])
        # on the line between two texels either will do
        rows = {math.floor((1 - v) * PAINTED + shift) for shift in (-1e-3, 1e-3)}
        columns = {math.floor(u * PAINTED + shift) for shift in (-1e-3, 1e-3)}
        row, column = (int(axis) for axis in read[point])
        if all(fine.mask[r, c] for r in rows for c in columns):
            assert row in rows and column in columns
        else:
            empty += 1
            assert math.hypot(row - (1 - v) * PAINTED + 0.5, column - u * PAINTED + 0.5) < 2.5
    assert empty < 200


def test_paint_does_not_cross_to_another_part_of_the_head():
    """What is read at a point was painted close to it on the surface, also at islands' rims."""
    h = head()
    template = torch.from_numpy(h.template)
    for resolution in (192, 256):
        texels = UVMap(h, resolution)
        paint = Paint(h, texels.triangles, texels.barycentrics)
        fine = make_atlas(h.uv, h.uv_faces, PAINTED)
        painted_at = position_map(fine, h.faces, template)[torch.from_numpy(fine.mask)]
        apart = (paint.read(painted_at) - texels.positions(template)[texels.valid]).norm(dim=1)
        assert apart.quantile(0.99) < 0.004 and apart.max() < 0.015


def test_only_the_squarest_photo_of_a_spot_counts():
    """Photos of a few spots, placed by hand: the middles of triangles that are far from each other in the UV map."""
    learned, h = system("avat3r"), head()
    assert isinstance(learned, Avat3rSystem)
    middles = h.uv[h.uv_faces].mean(1)
    places = [int(np.argmin(np.linalg.norm(middles - place, axis=1))) for place in ((0.3, 0.4), (0.5, 0.5), (0.6, 0.3))]
    assert min(np.linalg.norm(middles[a] - middles[b]) for a in places for b in places if a != b) > 0.05
    one, two, three = places
    triangle = torch.tensor([[[one, two], [three, -1]], [[three, one], [two, -1]]])
    squareness = torch.tensor([[[1.0, 0.2], [0.8, 0.0]], [[0.6, 0.3], [0.8, 0.0]]])
    share = learned.undisputed(triangle, torch.full((2, 2, 2, 3), 1 / 3), squareness)
    # one: 1.0 and 0.3; two: 0.2 and 0.8; three: 0.8 and 0.6, which is 3/4 and half the way from outdone to in full
    expected = torch.tensor([[[1.0, 0.0], [1.0, 0.0]], [[0.5, 0.0], [1.0, 0.0]]])
    torch.testing.assert_close(share, expected, rtol=0, atol=1e-5)


def test_photos_of_the_same_view_do_not_outdo_each_other():
    triangle, barycentric, _, _, squareness = _place_pixels(captured(2))
    learned, seen = system("avat3r"), captured(2).seen
    assert isinstance(learned, Avat3rSystem)
    alone = learned.undisputed(triangle[:1], barycentric[:1], squareness[:1])
    twice = learned.undisputed(triangle[[0, 0]], barycentric[[0, 0]], squareness[[0, 0]])
    assert torch.equal(twice[0], alone[0]) and torch.equal(twice[1], alone[0])
    both = learned.undisputed(triangle, barycentric, squareness)
    assert both.min() >= 0 and both.max() <= 1
    assert bool((both[0] <= alone[0] + 1e-6).all()) and both[0][seen[0]].mean() < alone[0][seen[0]].mean() - 0.02
    assert bool((both[~seen] == 0).all())  # beside the mesh nothing is square


@pytest.mark.parametrize("name", ["match", "uika", "avat3r", "flexavatar"])
def test_the_papers_sizes_start_on_the_surface_too(name):
    with torch.device("meta"):
        large = make_system(name, "paper", head(), {})
    assert large.network.config.on_surface


def test_wrong_names_are_refused():
    for name, preset, variant in (
        ("nobody", "small", {}),
        ("uika", "huge", {}),
        ("uika", "small", {"colour": "red"}),
        ("uika", "small", {"encoder": "x"}),
        ("uika", "small", {"depth": "many"}),
        ("uika", "small", {"aggregation": "perhaps"}),
        ("match", "small", {"color": "purple"}),
    ):
        with pytest.raises(EngineError):
            make_system(name, preset, head(), variant)
