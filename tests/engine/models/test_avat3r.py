"""Avat3r: Gaussians on pixels, photos read once, expressions by attention."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from engine.gaussians.gaussians import Splats
from engine.models.avat3r import Avat3r, Avat3rNetwork, PositionedViews
from tests.engine.models.training import close, not_learning, parameters, shaken, starts_on

TINY = replace(Avat3r.small(), width=48, heads=3, self_blocks=2, cross_blocks=2, motion_width=7, upsample=(16, 12, 8))
HEIGHT, WIDTH = 16, 24
MOTION = torch.linspace(-1, 1, 14).view(2, 7)


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(7)


@pytest.fixture
def views() -> PositionedViews:
    """Two people in three photos."""
    size = (2, 3, 3, HEIGHT, WIDTH)
    viewmats = torch.eye(4).expand(2, 3, 4, 4) + 0.1 * torch.randn(2, 3, 4, 4)
    Ks = torch.tensor([[60.0, 0, 12], [0, 60, 8], [0, 0, 1]]).expand(2, 3, 3, 3)
    return PositionedViews(
        torch.rand(size), 0.2 * torch.rand(size) - 0.1, torch.rand(2, 3, HEIGHT, WIDTH), viewmats, Ks
    )


def take(views: PositionedViews, photos: list[int]) -> PositionedViews:
    return PositionedViews(*(None if each is None else each[:, photos] for each in vars(views).values()))


@torch.no_grad()
def test_photos_are_read_once_for_all_expressions(views):
    network = shaken(Avat3rNetwork(TINY))
    cache = network.encode(views)
    first = network.decode(cache, MOTION)
    second = network.decode(cache, MOTION + 1)
    assert (second.means - first.means).abs().amax(dim=(0, 1)).min() > 1e-4
    close(first, network(views, MOTION))
    close(second, network(views, MOTION + 1))
    close(network.decode(cache, MOTION), first)  # decoding leaves no trace in the cache


@torch.no_grad()
def test_gaussians_start_on_their_pixels(views):
    network = Avat3rNetwork(replace(TINY, on_surface=False))
    assert network.table == Avat3r.paper().table
    cache = network.encode(views)
    splats = network.decode(cache, MOTION)
    starts_on(cache.positions, Avat3rNetwork(TINY)(views, MOTION))
    number = (2 * HEIGHT + 5) * WIDTH + 11  # third photo, row 5, column 11
    torch.testing.assert_close(splats.means[1, number], views.positions[1, 2, :, 5, 11])
    torch.testing.assert_close(splats.colors[1, number], views.images[1, 2, :, 5, 11])
    assert splats.means.shape == (2, 3 * HEIGHT * WIDTH, 3)
    assert cache.keep[1, number] == (views.confidence[1, 2, 5, 11] > TINY.confidence)
    assert torch.equal(cache.keep.sum(1), (views.confidence > 0.5).sum(dim=(1, 2, 3)))


@torch.no_grad()
def test_without_skips_gaussians_start_nowhere_and_grey(views):
    splats = Avat3rNetwork(replace(TINY, on_surface=False, position_skip=False, color_skip=False))(views, MOTION)
    assert torch.equal(splats.means, torch.zeros_like(splats.means))
    torch.testing.assert_close(splats.colors, torch.full_like(splats.colors, 0.5))


@torch.no_grad()
def test_what_no_photo_shows_starts_on_the_skin_and_learns_what_people_share(views):
    fresh, trained = Avat3rNetwork(TINY), shaken(Avat3rNetwork(TINY))
    uv = torch.tensor([[-0.5, -0.5], [-0.5, -0.5], [0.9, 0.9]])
    anchors, colors = torch.rand(2, 1, 3).expand(2, 3, 3), torch.rand(2, 1, 3).expand(2, 3, 3)
    starts_on(anchors, fresh.guess(fresh.encode(views), uv, anchors, colors))
    close(fresh.guess(fresh.encode(views), uv, anchors, colors).colors, colors)
    cache = trained.encode(views)
    offsets = trained.guess(cache, uv, anchors, colors).means - anchors
    close(offsets[:, 0], offsets[:, 1])
    assert (offsets[:, 0] - offsets[:, 2]).abs().max() > 1e-4  # places differ
    assert (offsets[0] - offsets[1]).abs().max() > 1e-4  # and people


@torch.no_grad()
def test_what_the_upsampler_does_stays_at_its_pixels():
    """A token's features reach its own pixels and, through the convolutions, few beyond."""
    upsample = shaken(Avat3rNetwork(TINY)).upsample
    tokens = torch.randn(1, 5 * 6, 48)
    other = tokens.clone()
    other[0, 2 * 6 + 3] += torch.randn(48)
    changed = (upsample(other, 5) - upsample(tokens, 5)).abs().amax(dim=1)[0] > 0  # [40, 48]
    rows, columns = changed.nonzero().unbind(1)
    assert changed[16:24, 24:32].all()
    reach = 4 + 2 + 1  # a 3 × 3 convolution at each of three sizes
    assert rows.min() >= 16 - reach and rows.max() < 24 + reach
    assert columns.min() >= 24 - reach and columns.max() < 32 + reach


@torch.no_grad()
def test_photos_in_another_order_give_the_same_gaussians_in_that_order(views):
    network = shaken(Avat3rNetwork(TINY))
    order = [2, 0, 1]
    turned = network(take(views, order), MOTION)
    splats = network(views, MOTION)
    by_photo = {name: each.unflatten(1, (3, -1))[:, order].flatten(1, 2) for name, each in vars(splats).items()}
    close(turned, Splats(**by_photo))
    alone = network(take(views, [0]), MOTION)
    assert (alone.means - splats.means[:, : HEIGHT * WIDTH]).abs().max() > 1e-3  # photos do tell each other something


@pytest.mark.parametrize(
    "change", [{}, {"position_skip": False, "color_skip": False}, {"feature_width": 5}, {"on_surface": False}]
)
def test_everything_learns(views, change):
    config = replace(TINY, **change)
    if config.feature_width:
        views = replace(views, features=torch.rand(2, 3, 5, HEIGHT // 8, WIDTH // 8))
    network = shaken(Avat3rNetwork(config))
    splats = network(views, MOTION)
    smallest, largest = network.table.scales
    assert splats.scales.min() >= smallest and splats.scales.max() <= largest
    skin = torch.rand(2, 4, 3)
    guess = network.guess(network.encode(views), 2 * torch.rand(4, 2) - 1, skin, skin)
    both = Splats(*(torch.cat(pair, dim=1) for pair in zip(*(vars(s).values() for s in (splats, guess)), strict=True)))
    assert not_learning(network, both) == []


def test_paper_and_small_sizes():
    with torch.device("meta"):
        paper, small = Avat3rNetwork(Avat3r.paper()), Avat3rNetwork(Avat3r.small())
    assert parameters(paper) == 118_843_932  # ours; without Sapiens
    assert 4 * Avat3r.paper().image_size ** 2 == 1_048_576  # Gaussians at most, arXiv 2502.20220, architecture
    for config in (Avat3r.paper(), Avat3r.small()):
        assert config.patch == 2 ** len(config.upsample)
    assert 2 * parameters(small) < 12e6  # bytes
