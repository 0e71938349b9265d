"""FFAvatar: photos in no order, added one by one; points from coarse to fine; residual motion."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from engine.errors import AvatarError
from engine.heads.atlas import gather, make_atlas
from engine.models.ffavatar import FFAvatar, FFAvatarNetwork, TrackedViews
from engine.models.kit.encoders import DinoConfig
from engine.models.kit.memory import TokenMemory
from engine.models.kit.points import SurfacePoints
from tests.engine.models.training import close, not_learning, parameters, shaken, starts_on

TINY = replace(
    FFAvatar.small(), encoder=DinoConfig(48, 2, 3, frozen=False), width=48, heads=3, pairs=2, motion_width=7,
    code_width=16, feature_width=24, residual_width=16,
)  # fmt: skip


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(7)


def take(views: TrackedViews, photos: list[int]) -> TrackedViews:
    return TrackedViews(*(each[:, photos] for each in vars(views).values()))


@pytest.fixture
def views() -> TrackedViews:
    """Two people in three photos of 32 × 48."""
    viewmats = torch.eye(4).expand(2, 3, 4, 4) + 0.1 * torch.randn(2, 3, 4, 4)
    Ks = torch.tensor([[60.0, 0, 24], [0, 60, 16], [0, 0, 1]]).expand(2, 3, 3, 3)
    return TrackedViews(torch.rand(2, 3, 3, 32, 48), torch.rand(2, 3, 1, 32, 48), viewmats, Ks, torch.rand(2, 3, 7))


@pytest.fixture(scope="module")
def sheet() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A bent sheet of 5 × 5 vertices: positions, faces, uv."""
    v, u = np.meshgrid(np.linspace(0.05, 0.95, 5), np.linspace(0.05, 0.95, 5), indexing="ij")
    uv = np.stack((u.ravel(), v.ravel()), axis=1)
    corner = (np.arange(4)[:, None] * 5 + np.arange(4)).ravel()
    faces = np.concatenate(
        (np.stack((corner, corner + 1, corner + 6), 1), np.stack((corner, corner + 6, corner + 5), 1))
    )
    positions = np.column_stack((0.2 * (uv - 0.5), 0.1 * uv[:, 0] ** 2)).astype(np.float32)
    return positions, faces.astype(np.int32), uv


@pytest.fixture
def points(sheet: tuple) -> SurfacePoints:
    positions, faces, uv = sheet
    atlas = make_atlas(uv, faces, 9)
    corners = torch.from_numpy(faces[atlas.triangle[atlas.mask]]).long()
    return SurfacePoints(torch.from_numpy(positions), corners, torch.from_numpy(atlas.barycentric[atlas.mask]))


MOTION = torch.linspace(-1, 1, 14).view(2, 7)


@pytest.fixture
def painted(points) -> torch.Tensor:
    """[2, P, 4] colours and confidences at the points."""
    return torch.rand(2, len(points.positions), 4)


@torch.no_grad()
def test_the_order_of_photos_does_not_matter_but_each_photo_does(views, points, painted):
    network = shaken(FFAvatarNetwork(TINY))
    all_three = network(views, points, MOTION, observed=painted)
    close(network(take(views, [2, 0, 1]), points, MOTION, observed=painted), all_three)
    two = network(take(views, [0, 1]), points, MOTION, observed=painted)
    assert (two.colors - all_three.colors).abs().max() > 1e-3
    for change in ("motions", "viewmats"):
        other = replace(views, **{change: getattr(views, change) + 0.3})
        assert (network(other, points, MOTION, observed=painted).colors - all_three.colors).abs().max() > 1e-3


@torch.no_grad()
def test_adding_a_photo_to_a_saved_memory_is_doing_all_at_once(views, points, painted, tmp_path: Path):
    network = shaken(FFAvatarNetwork(TINY))
    network.remember(take(views, [0, 1]), "a").save(tmp_path / "head.safetensors")
    memory = TokenMemory.load(tmp_path / "head.safetensors").extended(network.remember(take(views, [2]), "a"))
    assert memory.tokens.shape == (2, 3, 2 + 6, 48)
    once = network(views, points, MOTION, observed=painted)
    close(network.move(network.appear(memory, points, painted), MOTION), once)


def test_memories_that_do_not_fit_are_refused(tmp_path: Path):
    memory = TokenMemory(torch.rand(1, 2, 8, 4), rows=2, weights="a")
    for other in (
        replace(memory, weights="b"),
        replace(memory, rows=3),
        replace(memory, tokens=torch.rand(1, 1, 6, 4)),
    ):
        with pytest.raises(AvatarError, match="do not fit"):
            memory.extended(other)
    path = tmp_path / "head.safetensors"
    memory.save(path)
    path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(AvatarError, match=r"head\.safetensors"):
        TokenMemory.load(path)
    replace(memory, rows=4).save(path)  # six patches make no four rows
    with pytest.raises(AvatarError, match="shape"):
        TokenMemory.load(path)


def test_densification_is_the_atlas_interpolation(sheet, points):
    positions, faces, uv = sheet
    atlas, values = make_atlas(uv, faces, 9), torch.randn(25, 6)
    torch.testing.assert_close(points.densify(values), gather(atlas, faces, values)[torch.from_numpy(atlas.mask)])
    assert points.positions.shape == (25 + atlas.mask.sum(), 3)


@torch.no_grad()
def test_sparse_to_dense_costs_less_than_dense(views, points, painted):
    cost, count = {}, {}
    for kind in ("sparse", "sparse_to_dense", "dense"):
        network = FFAvatarNetwork(replace(TINY, points=kind))
        memory = network.remember(views)
        seen = painted[:, : 25 if kind == "sparse" else None]
        with FlopCounterMode(display=False) as counter:
            count[kind] = network.appear(memory, points, seen).anchors.shape[0]
        cost[kind] = counter.get_total_flops()
    assert count["sparse"] == 25 and count["sparse_to_dense"] == count["dense"] == len(points.positions)
    assert cost["sparse"] < cost["sparse_to_dense"] < cost["dense"]


@torch.no_grad()
def test_residual_motion_starts_as_nothing_and_can_be_left_out(views, points, painted):
    network = FFAvatarNetwork(TINY).eval()
    fast = FFAvatarNetwork(replace(TINY, residual_motion=False)).eval()
    fast.load_state_dict(network.state_dict(), strict=False)
    splats = network(views, points, MOTION, observed=painted)
    close(splats, fast(views, points, MOTION, observed=painted))
    starts_on(points.positions, splats)
    appearance = shaken(network).appear(network.remember(views), points, painted)
    moved = network.move(appearance, MOTION + 1).means - network.move(appearance, MOTION).means
    assert moved.abs().amax(dim=(0, 1)).min() > 1e-4


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"points": "dense"},
        {"residual_motion": False},
        {"sees_camera": True},
        {"on_surface": False},
        {"color": "direct"},
        {"on_surface": False, "color": "direct"},
    ],
)
def test_everything_learns(views, points, painted, change):
    config = replace(TINY, **change)
    network = shaken(FFAvatarNetwork(config))
    direction = torch.tensor([[0.0, 0, 1], [0, 1, 0]]) if config.sees_camera else None
    splats = network(views, points, MOTION, direction, painted if config.color == "mix" else None)
    assert splats.quats.norm(dim=-1).sub(1).abs().max() < 1e-5 and splats.scales.min() > 0
    assert (splats.means - points.positions).abs().max() <= 0.1
    assert not_learning(network, splats) == []


@torch.no_grad()
def test_the_papers_start_is_small_faint_and_on_the_points(views, points):
    network = FFAvatarNetwork(replace(TINY, on_surface=False, color="direct"))
    assert network.table == FFAvatar.paper().table
    splats = network(views, points, MOTION)
    assert torch.equal(splats.means, points.positions.expand_as(splats.means))
    assert splats.opacities.median().item() == pytest.approx(0.1, rel=0.2)
    assert splats.scales.median().item() == pytest.approx(0.0067, rel=0.2)


@torch.no_grad()
def test_colours_start_near_those_seen_and_nearer_where_photos_are_sure(views, points, painted):
    network = FFAvatarNetwork(TINY).eval()
    apart = []
    for confidence in (0.0, 1.0):
        sure = torch.cat((painted[..., :3], torch.full_like(painted[..., 3:], confidence)), dim=-1)
        apart.append((network(views, points, MOTION, observed=sure).colors - sure[..., :3]).abs().mean())
    assert apart[1] < 0.5 * apart[0] and apart[0] < 0.12


def test_paper_and_small_sizes():
    with torch.device("meta"):
        paper, small = FFAvatarNetwork(FFAvatar.paper()), FFAvatarNetwork(FFAvatar.small())
    assert parameters(paper, trainable=True) == 129_444_636  # ours; ViT-L/16's 303 129 600 are frozen
    assert parameters(paper) - parameters(paper, trainable=True) == 303_129_600
    assert 2 * parameters(small) < 12e6  # bytes
