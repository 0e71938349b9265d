"""Attention and blocks against PyTorch's own and against the plainest way to compute the same."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from engine.models.kit.attention import Attention, AttentionConfig, JointAttention, Neighbours, registration_attention
from engine.models.kit.blocks import AlternatingPair, Block, BlockConfig, JointBlock, across_views, per_view
from engine.models.kit.rotary import centred_rotation, grid_rotation, rotate
from tests.engine.models.parity import same, tensors

WIDTH, HEADS = 24, 3


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(7)


def test_self_and_cross_attention_equal_pytorchs():
    ours, theirs = Attention(AttentionConfig(WIDTH, HEADS)), nn.MultiheadAttention(WIDTH, HEADS, batch_first=True)
    with torch.no_grad():
        theirs.in_proj_weight.copy_(torch.cat([ours.query.weight, ours.key.weight, ours.value.weight]))
        theirs.in_proj_bias.copy_(torch.cat([ours.query.bias, ours.key.bias, ours.value.bias]))
        theirs.out_proj.load_state_dict(ours.out.state_dict())
    x, context = torch.randn(2, 5, WIDTH), torch.randn(2, 9, WIDTH)
    for looked_at in (x, context):
        expected, _ = theirs(x, looked_at, looked_at)
        torch.testing.assert_close(ours(x, None if looked_at is x else context), expected)


def test_joint_attention_with_shared_weights_is_self_attention_over_both():
    joint = JointAttention(AttentionConfig(WIDTH, HEADS, qk_norm="rms_head"))
    joint.context.load_state_dict(joint.own.state_dict())
    x, context = torch.randn(2, 5, WIDTH), torch.randn(2, 9, WIDTH)
    together = joint.own(torch.cat((x, context), dim=1))
    torch.testing.assert_close(torch.cat(joint(x, context), dim=1), together)


def test_a_block_whose_contexts_are_not_read_again_still_updates_its_tokens():
    full, last = JointBlock(WIDTH, HEADS, contexts=2), JointBlock(WIDTH, HEADS, contexts=2, updates_contexts=False)
    last.load_state_dict(full.state_dict(), strict=False)
    x, contexts = torch.randn(2, 5, WIDTH), [torch.randn(2, 4, WIDTH), torch.randn(2, 6, WIDTH)]
    torch.testing.assert_close(last(x, contexts)[0], full(x, contexts)[0])


@pytest.mark.parametrize("bias", [False, True])
def test_registration_attention_equals_sequence_by_sequence(bias):
    attention = Attention(AttentionConfig(WIDTH, HEADS, qk_norm="layer_full", bias=bias))
    uv, images = torch.randn(2, 6, WIDTH, requires_grad=True), torch.randn(2, 10, WIDTH, requires_grad=True)
    index = torch.stack([torch.randperm(9)[:4] for _ in range(12)]).view(2, 6, 4)  # the tenth is nobody's neighbour
    score = torch.rand(2, 6, 4) * (torch.rand(2, 6, 4) > 0.4)
    mine, theirs = registration_attention(attention, uv, images, Neighbours(index, score, per_view=5), chunk=5)

    sums, counts, expected = torch.zeros(2, 10, WIDTH), torch.zeros(2, 10, 1), torch.zeros(2, 6, WIDTH)
    for b in range(2):
        for t in range(6):
            result = attention(torch.cat((uv[b, t : t + 1], images[b, index[b, t]]))[None])[0]
            expected[b, t] = result[0]
            for k in range(4):
                if score[b, t, k] > 0:
                    sums[b, index[b, t, k]] += result[1 + k]
                    counts[b, index[b, t, k]] += 1
    torch.testing.assert_close(mine, expected)
    torch.testing.assert_close(theirs, sums / counts.clamp_min(1))
    assert (counts == 0).any() and (counts > 1).any()

    weights = torch.randn_like(mine), torch.randn_like(theirs)
    ours = torch.autograd.grad((mine * weights[0]).sum() + (theirs * weights[1]).sum(), (uv, images))
    plain = (expected * weights[0]).sum() + (sums / counts.clamp_min(1) * weights[1]).sum()
    for gradient, reference in zip(ours, torch.autograd.grad(plain, (uv, images)), strict=True):
        torch.testing.assert_close(gradient, reference)


def test_registration_attention_costs_the_same_for_any_number_of_views():
    attention, tokens = Attention(AttentionConfig(WIDTH, HEADS)), 6

    def operations(views: int) -> int:
        index = torch.randint(5 * views, (1, tokens, 4))
        neighbours = Neighbours(index, torch.ones(1, tokens, 4), per_view=5)
        images = torch.randn(1, 5 * views, WIDTH)
        with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH), torch.no_grad():
            registration_attention(attention, torch.randn(1, tokens, WIDTH), images, neighbours)
        return counter.get_total_flops()

    projections = 4 * 2 * WIDTH**2  # of one image token: query, key, value, output
    assert operations(16) - operations(1) == 15 * 5 * projections
    assert operations(1) > (5 + tokens) * projections  # the attention itself was counted


def test_views_see_each_other_only_in_the_global_half():
    pair = AlternatingPair(BlockConfig(WIDTH, HEADS, qk_norm="layer_head", layer_scale=0.5))
    rotation = grid_rotation(2, 3, WIDTH // HEADS)
    x = torch.randn(1, 3, 6, WIDTH)
    changed = x.clone()
    changed[:, 2] += torch.randn(6, WIDTH)
    within, across = (per_view(pair.frame, each, rotation) for each in (x, changed))
    torch.testing.assert_close(across[:, :2], within[:, :2])
    (_, before), (_, after) = pair(x, rotation), pair(changed, rotation)
    assert (after - before)[:, :2, :, WIDTH:].abs().amax(dim=-1).min() > 1e-6
    order = [2, 0, 1]
    moved = across_views(pair.whole, x[:, order], rotation)
    torch.testing.assert_close(moved, across_views(pair.whole, x, rotation)[:, order])


def test_a_cross_block_reads_its_context_in_any_order():
    block = Block(BlockConfig(WIDTH, HEADS, style="llama", qk_norm="layer_full", cross=True))
    x, context = torch.randn(2, 5, WIDTH), torch.randn(2, 9, WIDTH)
    result = block(x, context)
    torch.testing.assert_close(block(x, context.flip(1)), result)
    assert (block(x, context + torch.randn_like(context)) - result).abs().max() > 1e-3


def test_centred_rotation_is_dinov3s():
    io = tensors("dinov3_rope")  # a grid of 3 × 5
    rotation = centred_rotation(3, 5, 16)
    same(rotation.cos, io["out.rope.cos"])
    same(rotation.sin, io["out.rope.sin"])


@pytest.mark.parametrize("make", [centred_rotation, grid_rotation])
def test_rotated_products_depend_on_differences_of_places(make):
    rows, columns = 4, 5
    rotation = make(rows, columns, 8)
    q, k = (rotate(torch.randn(8, dtype=torch.float64).expand(rows * columns, -1), rotation) for _ in range(2))
    products = (q @ k.T).view(rows, columns, rows, columns)
    one_step = products[:-1, :-1, :-1, :-1]
    torch.testing.assert_close(products[1:, 1:, 1:, 1:], one_step, atol=1e-5, rtol=0)
    assert one_step.std() > 1e-2


def test_tokens_before_the_patches_are_not_turned():
    rotation = grid_rotation(2, 2, 8).after(unturned=2)
    x = torch.randn(6, 8)
    turned = rotate(x, rotation)
    assert torch.equal(turned[:3], x[:3])  # the first patch's place is 0, 0
    assert (turned[3:] - x[3:]).abs().amax(dim=1).min() > 1e-3
    assert functional.cosine_similarity(turned.norm(dim=1), x.norm(dim=1), dim=0) == pytest.approx(1)
