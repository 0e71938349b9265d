"""UIKA, its UV estimator and its reprojection against the released code's results, and what they must not depend on."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from engine.gaussians.gaussians import Splats
from engine.heads.lbs import blend_shapes, joint_transforms, linear_blend_skinning
from engine.models.importers import uika_from
from engine.models.kit.correspondence import Correspondence
from engine.models.kit.reproject import aggregate, per_view_textures
from engine.models.kit.uv_estimator import UVEstimator, UVEstimatorConfig
from engine.models.uika import UIKA, UIKANetwork
from tests.engine.models.parity import TINY_UIKA, layout, same, tensors
from tests.engine.models.training import parameters, starts_on


@pytest.fixture(scope="module")
def networks() -> tuple[UIKANetwork, UVEstimator]:
    estimator = {
        key.replace("fuvt.", "uv_wrapper.model.", 1): value for key, value in tensors("fuvt_tiny_weights").items()
    }
    return uika_from(tensors("uika_tiny_weights") | estimator, "tiny", TINY_UIKA)


@pytest.fixture(scope="module")
def io() -> dict[str, torch.Tensor]:
    return tensors("uika_tiny_n3")


@pytest.fixture(scope="module")
def head() -> dict[str, torch.Tensor]:
    return {key.rpartition(".")[2]: value for key, value in tensors("uika_tiny_head").items()}


def correspondence(io: dict[str, torch.Tensor]) -> Correspondence:
    return Correspondence(io["in.pixel_uv"], io["in.mask"], io["in.mask"][:, :, 0])


def reconstruct(network: UIKANetwork, io: dict[str, torch.Tensor], head: dict[str, torch.Tensor]) -> Splats:
    texels = head["valid_mask_flatten"].view(32, 32)
    with torch.no_grad():
        return network(io["in.image"], correspondence(io), texels, head["v_template_pix"])


def test_estimator_reproduces_the_release(networks):
    estimator, io = networks[1], tensors("fuvt_tiny_n3")  # 3 views of 48 × 80
    image = io["in.image"]
    with torch.no_grad():
        same(estimator.encoder(image[0])[0], io["out.dino.patchtokens"])
        for number, depth in enumerate(estimator.tokens(image)):
            same(depth, io[f"out.tokens{number}"])
        found = estimator(image, torch.ones_like(image[:, :, :1]))
    same(found.uv.movedim(2, -1), io["out.uv"])
    same(found.confidence, io["out.conf"])


def test_reprojection_reproduces_the_release():
    io = tensors("uika_reproject")
    inputs = io["in.image"], io["in.mask"], io["in.pixel_uv"]
    same(aggregate(*inputs, 12), io["out.aggregated"])
    same(per_view_textures(*inputs, 24), io["out.per_view"])


def test_reprojection_of_nothing_is_black():
    io = tensors("uika_reproject")
    nothing = io["in.image"][:1], torch.zeros_like(io["in.mask"][:1]), io["in.pixel_uv"][:1]
    same(aggregate(*nothing, 12), io["out.aggregated_all_masked"])
    same(per_view_textures(*nothing, 24), io["out.per_view_all_masked"])


def test_network_reproduces_the_release_step_by_step(networks, io):
    network, where = networks[0], correspondence(io)
    images = io["in.image"]
    with torch.no_grad():
        taps = network.encoder(images.flatten(0, 1), TINY_UIKA.taps)
        same(taps[0], io["out.dino_screen.tap0"])
        same(taps[3], io["out.dino_screen.tap3"])
        contexts = [network.encode(images, 0), network.encode(per_view_textures(images, where.mask, where.uv, 64), 1)]

        first, x = network.blocks[0], network.tokens(2)
        for joint, name in enumerate(("screen", "uv")):
            normed = first.norm(x), first.context_norms[joint](contexts[joint])
            for update, which in zip(first.joints[joint](*normed), ("tokens", "context"), strict=True):
                same(update, io[f"out.block0.attn_{name}.{which}"])
        x, after = first(x, contexts)
        same(x, io["out.block0.tokens"])
        same(after[0], io["out.block0.screen"])
        same(after[1], io["out.block0.uv"])

        for number, depth in enumerate(network.attend(contexts)):
            same(depth, io[f"out.tap{number}"])
    same(aggregate(images, where.mask, where.uv, 32), io["out.reproj.aggregated"])


def test_gaussians_reproduce_the_release(networks, io, head):
    splats = reconstruct(networks[0], io, head)
    same(splats.means, io["out.gs.xyz"])
    same(splats.scales, io["out.gs.scale"])
    same(splats.quats, io["out.gs.rotation_wxyz"])
    same(splats.opacities, io["out.gs.opacity"][..., 0])
    same(splats.colors, io["out.gs.rgb"])


def test_the_engines_skinning_moves_means_as_the_release_does(io, head):
    expression_at_texels = head["shapedirs_pix"][..., 6:].movedim(-1, 0)  # the first six are identity
    expression_of_mesh = head["shapedirs"][..., 6:].movedim(-1, 0)
    for person in range(2):
        for frame in range(2):
            pick = {key: io[f"in.flame.{key}"][person, frame] for key in ("expr", "rotation", "neck_pose", "jaw_pose")}
            eyes = io["in.flame.eyes_pose"][person, frame].view(2, 3)
            rotvecs = torch.stack((pick["rotation"], pick["neck_pose"], pick["jaw_pose"], *eyes))
            joints = head["J_regressor"] @ blend_shapes(head["v_template"], expression_of_mesh, pick["expr"])
            points = blend_shapes(io["out.gs.xyz"][person], expression_at_texels, pick["expr"])
            transforms = joint_transforms(rotvecs, joints, (-1, 0, 1, 1, 1))
            posed = (transforms[:, :3, :3] @ joints[:, :, None]).squeeze(-1) + transforms[:, :3, 3]
            same(posed, io["out.anim.joints"][person, frame])
            moved = linear_blend_skinning(points, transforms, head["lbs_weights_pix"])
            same(moved + io["in.flame.translation"][person, frame], io["out.anim.xyz"][person, frame])


def test_the_order_of_photos_does_not_matter(networks, io, head):
    turned = io | {name: io[name][:, [2, 0, 1]] for name in ("in.image", "in.mask", "in.pixel_uv")}
    one, other = reconstruct(networks[0], io, head), reconstruct(networks[0], turned, head)
    same(other.means, one.means)
    same(other.colors, one.colors)


@pytest.mark.slow
def test_paper_sizes_have_the_published_parameter_counts():
    official = layout("uika_official")
    with torch.device("meta"):
        network, estimator = UIKANetwork(UIKA.paper()), UVEstimator(UVEstimatorConfig.paper())
    trainable = sum(p.numel() for p in network.parameters() if p.requires_grad)
    dead = 2 * (1024 * 1024 + 1024 + 64)  # context queries of the last block, which we leave out
    assert trainable + dead == 553_985_567

    of_estimator = [
        entry for name, entry in official.items() if name.startswith("uv_wrapper") and entry[2] == "parameter"
    ]
    key_biases = 12 * 768  # of its DINOv3, which are multiplied by zero
    published = sum(math.prod(shape) for shape, *_ in of_estimator)
    assert sum(p.numel() for p in estimator.parameters()) + key_biases == published == 173_598_723


@pytest.mark.parametrize("change", [{}, {"uv_attention": False}, {"aggregation": False}, {"on_surface": False}])
def test_small_trains_all_of_itself(change):
    config = replace(UIKA.small(), side=8, **change)
    network = UIKANetwork(config).train()
    images = torch.rand(1, 2, 3, 64, 64)
    grid = torch.stack(torch.meshgrid(torch.linspace(0, 1, 64), torch.linspace(0, 1, 64), indexing="xy"))
    where = Correspondence(grid.expand(1, 2, -1, -1, -1), torch.ones(1, 2, 1, 64, 64), torch.ones(1, 2, 64, 64))
    splats = network(images, where, torch.ones(32, 32, dtype=torch.bool), torch.zeros(1024, 3))
    if config.on_surface:
        starts_on(torch.zeros(1, 1024, 3), splats)
    else:
        assert torch.equal(splats.means, torch.zeros(1, 1024, 3))  # offsets start at nothing
        assert splats.opacities.mean().item() == pytest.approx(0.1, rel=0.1)
    targets = (field * torch.randn_like(field) for field in vars(splats).values())
    sum(each.sum() for each in targets).backward()
    assert [name for name, p in network.named_parameters() if p.requires_grad and p.grad is None] == []


def test_small_fits_into_its_file():
    with torch.device("meta"):
        network = UIKANetwork(UIKA.small())  # tracking stands in for the UV estimator
    assert 2 * parameters(network) < 12e6  # bytes
