"""FlexAvatar's own refinement: nearer to the photo, the dynamics and the cached network as they were."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from engine.errors import Cancelled
from engine.progress import Progress
from engine.systems import flexavatar
from engine.systems.flexavatar import FlexAvatarSystem, refined
from tests.engine.systems.people import captured, decibels, drawn, head, posed, system

pytestmark = pytest.mark.slow

FEW = 8
LONG = 1e6  # s


def fresh() -> FlexAvatarSystem:
    learned = system("flexavatar")
    assert isinstance(learned, FlexAvatarSystem)
    return learned


@pytest.fixture(scope="module")
def before() -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in fresh().network.state_dict().items()}


@pytest.fixture(scope="module")
def own(before) -> FlexAvatarSystem:
    """Refined for the person's first photo."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(flexavatar, "ITERATIONS", FEW)
        return refined(fresh(), captured(1), LONG, Progress())


def likeness(learned: FlexAvatarSystem) -> float:
    """PSNR of the photo's own view on its skin."""
    taken = captured(1)
    bound = learned.animate(learned.encode(taken), taken.motions[0])
    splats = posed(bound, taken.rig, taken.expressions[0], taken.joint_rotations[0])
    image = drawn(splats, taken.viewmats[0], taken.Ks[0])
    return decibels(image, taken.images[0].permute(1, 2, 0), taken.seen[0])


def test_the_photos_view_comes_nearer(own):
    assert likeness(own) > likeness(fresh()) + 0.05  # dB; 0.2 after all 20 iterations on trained weights


def test_only_a_copys_reconstruction_changes(own, before):
    learned = fresh()
    for name, value in learned.network.state_dict().items():
        assert torch.equal(value, before[name]), name
    after = own.network.state_dict()
    changed = {name for name, value in before.items() if not torch.equal(after[name], value)}
    assert {"static_head.0.weight", "fuse.out.weight"} <= changed
    assert not any(name.startswith(("unet.", "embed_motion.")) for name in changed)
    assert not any(parameter.requires_grad for parameter in (*own.parameters(), *learned.parameters()))


def test_the_mouth_has_no_say():
    learned = fresh()
    with torch.no_grad():
        gaussians = learned.animate(learned.encode(captured(1)), captured(1).motions[0])
    lips = torch.from_numpy(head().face_region("lips"))[gaussians.triangles]
    mouth = flexavatar.mouth_texels(learned)
    assert torch.all(mouth[lips]) and lips.sum() > 300 and mouth.float().mean() < 0.3
    colors = gaussians.colors.clone().requires_grad_()
    flexavatar.without_say(replace(gaussians, colors=colors), mouth).colors.sum().backward()
    assert colors.grad is not None
    assert torch.equal(colors.grad, (~mouth).float()[:, None].expand(-1, 3))


def test_it_can_be_skipped_and_stopped():
    learned, calls = fresh(), []
    assert refined(learned, captured(1), 0, Progress()) is learned

    def stop() -> bool:
        calls.append(1)
        return True

    with pytest.raises(Cancelled):
        refined(learned, captured(1), LONG, Progress(is_cancelled=stop))
    assert len(calls) == 1
    assert not any(parameter.requires_grad for parameter in learned.parameters())
