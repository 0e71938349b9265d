"""FlexAvatar: photos in any number, a static head, and dynamics that keep to their regions."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from engine.gaussians.gaussians import Splats
from engine.models.flexavatar import EYES, MOUTH, FlexAvatar, FlexAvatarNetwork, HeadTexels, dynamic_texels
from engine.models.kit.encoders import DinoConfig
from engine.models.kit.unet import UNet, UNetConfig
from tests.engine.models.training import close, not_learning, parameters, shaken, starts_on

TINY = replace(
    FlexAvatar.small(), encoder=DinoConfig(48, 2, 3, frozen=False), taps=(0, 1), width=48, heads=3, side=4,
    upsample=(16, 12), identity_width=6, unet=UNetConfig(8, 3), motion_width=7,
)  # fmt: skip
R = TINY.resolution
IMAGES = torch.rand(2, 3, 3, 32, 48, generator=torch.Generator().manual_seed(5))
PAINTED = torch.rand(2, 4, R, R, generator=torch.Generator().manual_seed(4))  # colour and confidence
DRIVING = 0.1 * torch.rand(2, 3, R, R, generator=torch.Generator().manual_seed(6))


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(7)


@pytest.fixture
def texels() -> HeadTexels:
    """A disc of texels; those of the right half move."""
    y, x = torch.meshgrid(torch.arange(R), torch.arange(R), indexing="ij")
    valid = (x - R / 2) ** 2 + (y - R / 2) ** 2 < (R / 2) ** 2
    return HeadTexels(valid, 0.1 * torch.randn(int(valid.sum()), 3), (x > R // 2)[valid])


def pick(splats: Splats, mask: torch.Tensor) -> Splats:
    return Splats(*(field[:, mask] for field in vars(splats).values()))


@torch.no_grad()
def test_outside_the_mask_nothing_moves(texels):
    network = shaken(FlexAvatarNetwork(TINY))
    head = network.encode(IMAGES, texels, PAINTED)
    before, after = network.move(head, texels, DRIVING), network.move(head, texels, DRIVING.flip(-1))
    still, static = ~texels.dynamic, network.static(head, texels)
    for splats in (before, after):
        for one, other in zip(vars(pick(splats, still)).values(), vars(pick(static, still)).values(), strict=True):
            assert torch.equal(one, other)
    for one, other in zip(vars(pick(before, ~still)).values(), vars(pick(after, ~still)).values(), strict=True):
        assert (one - other).abs().max() > 1e-5


@torch.no_grad()
def test_the_head_is_read_once_for_all_frames(texels):
    network = shaken(FlexAvatarNetwork(TINY))
    head = network.encode(IMAGES, texels, PAINTED)
    for driving in (DRIVING, DRIVING.flip(-1), DRIVING):
        close(network.move(head, texels, driving), network(IMAGES, texels, driving, PAINTED))


@torch.no_grad()
def test_photos_come_in_any_order_and_number(texels):
    network = shaken(FlexAvatarNetwork(TINY))
    splats = network(IMAGES, texels, DRIVING, PAINTED)
    close(network(IMAGES[:, [2, 0, 1]], texels, DRIVING, PAINTED), splats)
    one = network(IMAGES[:, :1], texels, DRIVING, PAINTED)
    assert one.means.shape == splats.means.shape
    assert (one.colors - splats.colors).abs().max() > 1e-3


@torch.no_grad()
def test_dynamics_follow_the_map_or_the_coefficients(texels):
    """A bulge in one place changes Gaussians more there, 1.3 to 3.7 times by seed; a coefficient has no place."""
    network = shaken(FlexAvatarNetwork(TINY), 0.02)
    head = network.encode(IMAGES, texels, PAINTED)
    everywhere = replace(texels, dynamic=torch.ones_like(texels.dynamic))
    bulge = DRIVING.clone()
    bulge[:, :, 2:5, 6:9] += 0.2
    network.unet.out.weight.copy_(torch.randn_like(network.unet.out.weight))
    change = network.move(head, everywhere, bulge).means - network.move(head, everywhere, DRIVING).means
    amount = torch.zeros(R, R)
    amount[texels.valid] = change.norm(dim=-1).mean(0)
    assert amount[1:6, 5:10].sum() / 25 > 1.2 * amount[10:].sum() / texels.valid[10:].sum()

    coefficients = shaken(FlexAvatarNetwork(replace(TINY, position_map=False)))
    head, code = coefficients.encode(IMAGES, texels, PAINTED), torch.linspace(-1, 1, 14).view(2, 7)
    one, other = (coefficients.move(head, texels, each) for each in (code, code + 1))
    assert (one.means - other.means)[:, texels.dynamic].abs().max() > 1e-5


def test_the_unet_starts_at_zero_and_needs_no_square():
    unet = UNet(4, 5, UNetConfig(8, 3))
    maps = torch.randn(2, 4, 8, 12)
    assert torch.equal(unet(maps), torch.zeros(2, 5, 8, 12))
    assert shaken(unet)(maps).abs().min() > 0


def test_regions_decide_what_is_dynamic():
    rng = np.random.default_rng(1)
    names = TINY.dynamic_regions
    masks = {name: rng.random((R, R)) < 0.1 for name in (*names, "scalp")}
    valid = rng.random((R, R)) < 0.5
    assert {"face", *EYES, *MOUTH} == set(names)
    assert torch.equal(
        dynamic_texels(masks, names, valid), torch.from_numpy(np.any([masks[n] for n in names], 0)[valid])
    )
    mouth = dynamic_texels(masks, MOUTH, valid)
    assert 0 < mouth.sum() < dynamic_texels(masks, names, valid).sum() < valid.sum()


def test_refinement_leaves_the_dynamics_alone(texels):
    network = FlexAvatarNetwork(replace(TINY, encoder=DinoConfig(48, 2, 3)))  # frozen, as in the paper
    mine = {id(p) for p in network.reconstruction_parameters()}
    out = {name.split(".")[0] for name, p in network.named_parameters() if id(p) not in mine}
    assert out == {"encoder", "unet"}
    network.static(network.encode(IMAGES, texels, PAINTED), texels).colors.sum().backward()
    assert all(p.grad is None for p in network.unet.parameters())


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"position_map": False},
        {"on_surface": False},
        {"color": "direct"},
        {"on_surface": False, "color": "direct"},
    ],
)
def test_everything_learns(texels, change):
    config = replace(TINY, **change)
    network = shaken(FlexAvatarNetwork(config))
    driving = DRIVING if config.position_map else torch.rand(2, 7)
    splats = network(IMAGES, texels, driving, PAINTED if config.color == "mix" else None)
    smallest, largest = network.table.scales
    assert splats.scales.min() >= smallest and splats.scales.max() <= largest
    assert (splats.means - texels.surface).abs().max() <= 0.1
    assert not_learning(network, splats) == []


@torch.no_grad()
def test_starts(texels):
    network = FlexAvatarNetwork(TINY).eval()
    splats = network(IMAGES, texels, DRIVING, PAINTED)
    starts_on(texels.surface, splats)
    assert (splats.colors - PAINTED[:, :3, texels.valid].transpose(1, 2)).abs().mean() < 0.1

    papers = FlexAvatarNetwork(replace(TINY, on_surface=False, color="direct")).eval()
    assert papers.table == FlexAvatar.paper().table
    splats = papers(IMAGES, texels, DRIVING)
    assert torch.equal(splats.means, texels.surface.expand_as(splats.means))
    torch.testing.assert_close(splats.scales, torch.full_like(splats.scales, 0.0051))
    torch.testing.assert_close(splats.opacities, torch.full_like(splats.opacities, 0.5))


def test_paper_and_small_sizes():
    with torch.device("meta"):
        paper, small = FlexAvatarNetwork(FlexAvatar.paper()), FlexAvatarNetwork(FlexAvatar.small())
    assert FlexAvatar.paper().resolution == 400  # arXiv 2512.17717, reconstruction
    assert parameters(paper, trainable=True) == 176_170_300  # ours; ViT-L/16's 303 129 600 are frozen
    assert parameters(paper) - parameters(paper, trainable=True) == 303_129_600
    for config in (FlexAvatar.paper(), FlexAvatar.small()):
        assert config.resolution % 2 ** (config.unet.levels - 1) == 0
    assert 2 * parameters(small) < 12e6  # bytes
