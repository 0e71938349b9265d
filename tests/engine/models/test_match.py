"""MATCH against the released code's results, and the properties that its registration-guided attention promises."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from engine.heads.atlas import Atlas, position_map
from engine.models.importers import match_from
from engine.models.kit.attention import Neighbours
from engine.models.kit.blocks import per_view, registered
from engine.models.kit.correspondence import Correspondence
from engine.models.kit.registration import RegistrationConfig, register, registration_scores
from engine.models.match import MATCH, MatchNetwork, MatchViews, read_mesh
from tests.engine.models.parity import same, tensors
from tests.engine.models.training import starts_on

HEIGHT, WIDTH = 64, 48
TINY = MATCH(RegistrationConfig(64, 8, 8, count=6), width=64, heads=2, pairs=2, feature_width=32)


def intrinsics(normalised: torch.Tensor) -> torch.Tensor:
    """[..., 4] (fx, fy, cx, cy) by image size to [..., 3, 3] in pixels."""
    fx, fy, cx, cy = (normalised * torch.tensor([WIDTH, HEIGHT, WIDTH, HEIGHT])).unbind(-1)
    zero, one = torch.zeros_like(fx), torch.ones_like(fx)
    return torch.stack((fx, zero, cx, zero, fy, cy, zero, zero, one), dim=-1).unflatten(-1, (3, 3))


@pytest.fixture(scope="module")
def weights() -> dict[str, torch.Tensor]:
    return tensors("match_tiny_weights")


@pytest.fixture(scope="module")
def network(weights) -> MatchNetwork:
    return match_from(weights, "tiny", TINY)


@pytest.fixture(scope="module")
def io() -> dict[str, torch.Tensor]:
    return tensors("match_tiny_io")


@pytest.fixture(scope="module")
def views(io) -> MatchViews:
    # In float64, so that turning v around twice gives the released code's numbers back.
    u, v, mask = io["in.uv"].double().unbind(2)
    seen = Correspondence(torch.stack((u, 1 - v), dim=2), mask[:, :, None], mask)
    viewmats, Ks = torch.linalg.inv(io["in.C2W"]), intrinsics(io["in.fxfycxcy"])
    return MatchViews(io["in.image"], io["in.mask"], viewmats, Ks, seen, io["in.sapiens_features"])


@pytest.fixture(scope="module")
def neighbours(io) -> Neighbours:
    """The release's own choice: at ties it is arbitrary, so later stages are compared with it."""
    return Neighbours(io["out.corr.idcs"].flatten(1, 2), io["out.corr.scores_fp16"].float().flatten(1, 2), per_view=48)


def test_scores_reproduce_the_release(views, io):
    where = views.correspondence
    half = registration_scores(where.uv, where.mask, TINY.registration)
    assert torch.equal(half, io["out.corr.full_scores_fp16"].flatten(1, 2))
    single = registration_scores(where.uv, where.mask, replace(TINY.registration, precision=torch.float32))
    assert torch.equal(single, io["out.corr.full_scores_fp32"].flatten(1, 2))


def test_the_best_are_chosen(views, io):
    chosen = register(views.correspondence.uv, views.correspondence.mask, TINY.registration, chunk=7)
    assert torch.equal(chosen.score, io["out.corr.scores_fp16"].float().flatten(1, 2))
    full = io["out.corr.full_scores_fp16"].float().flatten(1, 2)
    assert torch.equal(full.gather(2, chosen.index), chosen.score)


def test_summed_score_is_the_papers_equation(views):
    """Both terms written out for one token and view, patch by patch."""
    config = replace(TINY.registration, mode="sum", precision=torch.float32)
    where = views.correspondence
    scores = registration_scores(where.uv, where.mask, config)[0].view(8, 8, 3, 8, 6)
    tested = 0
    for a, b in np.ndindex(8, 8):
        for view in range(3):
            u, v = (where.uv[0, view, axis, ::4, ::4].numpy() for axis in (0, 1))
            low, high = (np.float32(8 * np.array([a, b, a + 1, b + 1]) - 0.5) / 63).reshape(2, 2)
            inside = (v > low[0]) & (v <= high[0]) & (u >= low[1]) & (u < high[1])
            inside &= where.mask[0, view, 0, ::4, ::4].numpy() > 0
            if not inside.any():
                assert scores[a, b, view].abs().max() == 0
                continue
            for row, column in np.ndindex(8, 6):
                patch = np.zeros_like(inside)
                patch[2 * row : 2 * row + 2, 2 * column : 2 * column + 2] = True
                rows, columns = np.nonzero(inside | patch)
                box = (np.ptp(rows) + 1) * (np.ptp(columns) + 1)
                expected = (inside & patch).sum() / 4 + 0.1 * inside.sum() / box
                assert scores[a, b, view, row, column].item() == pytest.approx(expected, abs=1e-6)
                tested += 1
    assert tested >= 1000


def test_backprojection_reproduces_the_release(network):
    io = tensors("match_backproject")  # 7 views, texels outside images, a token without votes
    chosen = Neighbours(io["in.corr.idcs"].flatten(1, 2), io["in.corr.scores"].flatten(1, 2), per_view=48)
    viewmats, Ks = torch.linalg.inv(io["in.C2W"]), intrinsics(io["in.fxfycxcy"])
    views = MatchViews(io["in.image"], torch.ones(()), viewmats, Ks, Correspondence(*[torch.empty(0)] * 3))
    observed = network.observe(views, views.images, io["in.uv_xyz"].movedim(1, -1), chosen)
    same(observed.movedim(-1, 1), io["out.uv_rgb"])


def test_position_map_is_the_engines(weights, io):
    triangle = torch.where(weights["uv_grid_mask"], weights["uv_grid_triangle_id"], -1)[..., 0].int().numpy()
    atlas = Atlas(64, triangle, weights["uv_grid_bary"].numpy(), weights["uv_grid_mask"][..., 0].numpy())
    faces = weights["template_triangles"].numpy()
    for person in range(2):
        same(position_map(atlas, faces, io["in.coarse_verts"][person]).movedim(-1, 0), io["out.uv_xyz"][person])


def test_network_reproduces_the_release_step_by_step(network, views, neighbours, io):
    images = views.images * views.masks + 1 - views.masks
    positions = io["out.uv_xyz"].movedim(1, -1)
    with torch.no_grad():
        observed = network.observe(views, images, positions, neighbours)
        same(observed.movedim(-1, 1), io["out.uv_rgb"])
        tokens = network.embed_images(views, images)
        same(tokens, io["out.img_tokens_in"])
        uv = network.embed_uv_tokens(positions, observed)
        same(uv, io["out.uv_tokens_in"])
        uv, tokens = registered(network.registration_blocks[0], uv, tokens, neighbours)
        same(uv, io["out.block0.uv"])
        same(tokens.flatten(1, 2), io["out.block0.img"])
        uv, tokens = network.grouped_blocks[0](uv), per_view(network.grouped_blocks[0], tokens)
        uv, tokens = registered(network.registration_blocks[1], uv, tokens, neighbours)
        same(network.grouped_blocks[1](uv), io["out.block3.uv"])
        same(per_view(network.grouped_blocks[1], tokens).flatten(1, 2), io["out.block3.img"])


def test_texture_and_mesh_reproduce_the_release(network, views, neighbours, weights, io):
    images = views.images * views.masks + 1 - views.masks
    with torch.no_grad():
        splats = network.textured(views, images, io["out.uv_xyz"].movedim(1, -1), neighbours).splats
    for ours, name in (
        (splats.means, "xyz"),
        (splats.colors, "rgb"),
        (splats.scales, "scale"),
        (splats.quats, "rotation"),
    ):
        same(ours.movedim(-1, 1)[:, None], io[f"out.gs.{name}"])
    same(splats.opacities[:, None, None], io["out.gs.opacity"])
    corners = weights["template_triangle_uvs"].flatten(0, 1)
    corner_of = torch.arange(len(corners)).view(-1, 3)
    mesh = read_mesh(splats.means, corners, corner_of, weights["template_triangles"])
    same(mesh, io["out.mesh_verts"])


@pytest.mark.parametrize(("resolution", "count"), [(1024, 47_258_112), (512, 45_292_032)])
def test_paper_sizes_have_the_published_parameter_counts(resolution, count):
    with torch.device("meta"):
        network = MatchNetwork(MATCH.paper(resolution))
    assert sum(p.numel() for p in network.parameters()) == count


@pytest.mark.parametrize("change", [{}, {"guided": False}, {"color": "direct"}, {"on_surface": False}])
def test_small_trains_all_of_itself(change, views, io):
    where = RegistrationConfig(64, 8, 8, count=6, precision=torch.float32)
    network = MatchNetwork(replace(MATCH.small(), registration=where, pairs=2, **change))
    positions = io["out.uv_xyz"].movedim(1, -1)
    splats = network(replace(views, features=None), positions).splats
    if network.config.on_surface:
        starts_on(positions, splats)
    else:
        assert splats.scales.median().item() == pytest.approx(0.01025)
        assert splats.opacities.median().item() == pytest.approx(0.1192, abs=1e-4)
    targets = (field * torch.randn_like(field) for field in vars(splats).values())
    sum(each.sum() for each in targets).backward()
    assert [name for name, p in network.named_parameters() if p.grad is None] == []


def test_painted_colours_take_the_place_of_back_projected_ones(views, io):
    where = RegistrationConfig(64, 8, 8, count=6, precision=torch.float32)
    network = MatchNetwork(replace(MATCH.small(), registration=where, pairs=2))
    positions, painted = io["out.uv_xyz"].movedim(1, -1), torch.rand(2, 64, 64, 3)
    with torch.no_grad():
        texture = network(replace(views, features=None, painted=painted), positions)
    assert torch.equal(texture.observed, painted)
    assert (texture.splats.colors - painted).abs().median() < 0.1
