"""Official UIKA's Gaussians on FLAME's triangles, against what the public code computes, and against geometry."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from engine.errors import AssetError
from engine.gaussians.binding import pose, triangle_frames
from engine.gaussians.gaussians import Splats
from engine.heads.atlas import make_atlas
from engine.heads.lbs import blend_shapes, joint_transforms, linear_blend_skinning
from engine.heads.parametric import JOINTS, REGIONS, ParametricHead
from engine.models.importers import read_tensors
from engine.models.kit.correspondence import Correspondence, mesh_correspondence
from engine.models.official.following import following_neutral
from engine.models.official.inputs import Crop
from engine.models.official.network import OfficialUIKA
from engine.models.official.texels import OnHead, put_on, read_table
from engine.models.official.tracked import tracked_correspondence
from engine.models.official.uika import settled
from engine.progress import Progress
from engine.tracking.tracked import View
from tests.engine.models.official.checkpoint import TABLES, tiny_weights, write
from tests.engine.models.parity import TINY_UIKA, same, tensors

IDENTITIES = 6  # of the invented head's shape directions


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A file as the public code would save it, read as the engine reads the official one."""
    path = tmp_path_factory.mktemp("official") / "uika.safetensors"
    return read_tensors(write(path, tiny_weights(), tensors("uika_tiny_head")))


@pytest.fixture(scope="module")
def invented(checkpoint) -> ParametricHead:
    """The public code's invented head as a user's FLAME file would give it: nothing of it is from the texels."""
    arrays = {name: checkpoint[f"{TABLES}{name}"].numpy() for name in ("v_template", "J_regressor", "lbs_weights")}
    shapes = checkpoint[f"{TABLES}shapedirs"].permute(2, 0, 1).numpy()
    faces, count = checkpoint[f"{TABLES}faces"].numpy().astype(np.int32), len(arrays["v_template"])
    return ParametricHead(
        name="invented",
        licence="none",
        template=arrays["v_template"],
        faces=faces[:, [1, 2, 0]],  # corners in another order than the texels'
        identity_basis=shapes[:IDENTITIES],
        expression_names=tuple(f"expression{k}" for k in range(len(shapes) - IDENTITIES)),
        expression_basis=shapes[IDENTITIES:],
        joint_names=JOINTS,
        joint_parents=checkpoint[f"{TABLES}parents"].numpy().astype(np.int32),
        joint_regressor=arrays["J_regressor"],
        skin_weights=np.pad(arrays["lbs_weights"], ((0, 0), (1, 0))),
        pose_correctives=np.zeros((0, count, 3), np.float32),
        uv=np.zeros((1, 2), np.float32),
        uv_faces=np.zeros_like(faces),
        regions={name: np.zeros(count, bool) for name in REGIONS},
        landmark_triangles=np.zeros(478, np.int32),
        landmark_barycentrics=np.zeros((478, 3), np.float32),
        landmark_weights=np.zeros(478, np.float32),
    )


@pytest.fixture(scope="module")
def on_head(checkpoint, invented) -> OnHead:
    return put_on(read_table(checkpoint, "uika.safetensors", TINY_UIKA.resolution), invented)


@pytest.mark.slow
def test_from_the_file_to_gaussians_that_move_as_the_public_codes(checkpoint, on_head, monkeypatch):
    """Two people, three photos each, two frames each; the texels' rows are mixed from the user's head alone."""
    monkeypatch.setattr("engine.heads.rig.meeting_lids", lambda head, _: head.expression_basis)  # it has no eyes
    io, head = tensors("uika_tiny_n3"), on_head.head
    table = read_table(checkpoint, "uika.safetensors", TINY_UIKA.resolution)
    surface = table.mix(torch.from_numpy(head.template))
    same(surface, checkpoint[f"{TABLES}v_template_pix"])
    where = Correspondence(io["in.pixel_uv"], io["in.mask"], io["in.mask"][:, :, 0])
    official, reported = OfficialUIKA(checkpoint, "uika.safetensors", TINY_UIKA), []
    progress = Progress(lambda stage, fraction: reported.append(fraction))
    made = official.gaussians(io["in.image"], where, table.valid, surface, progress, torch.device("cpu"))
    assert reported == sorted(reported) and len(reported) > 20 and reported[-1] == pytest.approx(0.95)

    corners, mix = torch.from_numpy(head.faces).long()[on_head.triangles], on_head.barycentrics[..., None]
    basis = torch.from_numpy(head.expression_basis)
    shapes = (basis[:, corners] * mix).sum(2)  # [E, M, 3] at texels, by the head's own triangles
    weights = (torch.from_numpy(head.skin_weights)[corners] * mix).sum(1)
    same(shapes.movedim(0, -1), checkpoint[f"{TABLES}shapedirs_pix"][..., IDENTITIES:])
    same(weights[:, 1:], checkpoint[f"{TABLES}lbs_weights_pix"])
    for person in range(2):
        rig, gaussians = settled(on_head, Splats(*(field[person] for field in vars(made).values())), surface)
        rest = pose(gaussians, rig.neutral, rig.faces, triangle_frames(rig.neutral, rig.faces)[1])
        for ours, name in (("means", "xyz"), ("scales", "scale"), ("colors", "rgb")):
            assert (getattr(rest, ours) - io[f"out.gs.{name}"][person]).abs().max() < 1e-4
        assert (rest.opacities - io["out.gs.opacity"][person, :, 0]).abs().max() < 1e-4
        # of q and -q, which turn alike, either
        assert ((rest.quats * io["out.gs.rotation_wxyz"][person]).sum(-1).abs() - 1).abs().max() < 1e-4
        for frame in range(2):
            pick = {key: io[f"in.flame.{key}"][person, frame] for key in ("expr", "rotation", "neck_pose", "jaw_pose")}
            eyes = io["in.flame.eyes_pose"][person, frame].view(2, 3)
            turns = torch.stack((pick["rotation"], pick["neck_pose"], pick["jaw_pose"], *eyes))
            template = blend_shapes(torch.from_numpy(head.template), basis, pick["expr"])
            transforms = joint_transforms(turns, torch.from_numpy(head.joint_regressor) @ template, head.joint_parents)
            moved = linear_blend_skinning(
                blend_shapes(rest.means, shapes, pick["expr"]), torch.cat((torch.eye(4)[None], transforms)), weights
            )
            moved = moved + io["in.flame.translation"][person, frame]
            assert (moved - io["out.anim.xyz"][person, frame]).abs().max() < 1e-4


def test_what_is_no_triangle_of_the_head_becomes_one_of_its_own(checkpoint, invented, on_head):
    """The mouth: the public code closes it with triangles that FLAME does not have."""
    assert len(on_head.head.faces) == len(invented.faces)
    gone = np.isin(np.arange(len(invented.faces)), [3, 40])
    opened = replace(invented, faces=invented.faces[~gone], uv_faces=invented.uv_faces[~gone])
    again = put_on(read_table(checkpoint, "uika.safetensors", TINY_UIKA.resolution), opened)
    assert {frozenset(face) for face in again.head.faces[-2:].tolist()} == {
        frozenset(face) for face in invented.faces[gone].tolist()
    }
    for each in (on_head, again):
        corners = torch.from_numpy(each.head.template[each.head.faces])[each.triangles]
        same((corners * each.barycentrics[..., None]).sum(1), checkpoint[f"{TABLES}v_template_pix"])


@pytest.mark.parametrize("damage", ["valid_mask", "pix_to_v_idx", "pix_bary"])
def test_damaged_texels_are_refused(checkpoint, damage):
    odd = {name: checkpoint[name].clone() for name in checkpoint if name.startswith(TABLES)}
    odd[f"{TABLES}{damage}_flatten"].view(-1)[0] = {"valid_mask": True, "pix_to_v_idx": -1, "pix_bary": torch.nan}[
        damage
    ]
    odd[f"{TABLES}valid_mask_flatten"][:2] = damage == "valid_mask"
    with pytest.raises(AssetError, match="texels in odd are damaged"):
        read_table(odd, "odd", TINY_UIKA.resolution)


@pytest.mark.slow
def test_the_mesh_follows_another_identity_and_leaves_wrinkles_to_the_gaussians(head):
    rng = np.random.default_rng(4)
    atlas = make_atlas(head.uv, head.uv_faces, 384)
    skin = atlas.mask & ~head.face_region("eyes", "teeth", "tongue", "mouth_interior", "lashes")[atlas.triangle]
    on = OnHead(head, replace(atlas, mask=skin))
    person = head.template + np.tensordot(rng.normal(size=len(head.identity_basis)), head.identity_basis, axes=1)
    moved = ((person - head.template)[head.faces[on.triangles]] * on.barycentrics.numpy()[..., None]).sum(1)
    noise = rng.normal(scale=0.001, size=moved.shape)
    neutral = following_neutral(on, moved + noise, np.ones(len(moved)))
    used = np.unique(head.faces[on.triangles])
    off = np.linalg.norm(neutral - person, axis=1)
    assert np.linalg.norm(person - head.template, axis=1)[used].mean() > 0.004
    assert off[used].mean() < 0.0006 and np.quantile(off[used], 0.99) < 0.0016
    eyes = head.regions["eyes"] & (head.template[:, 0] > 0)  # whole, and where the lids went
    assert np.ptp((neutral - head.template)[eyes], axis=0).max() < 1e-6


def test_a_tracked_mesh_tells_where_pixels_lie_without_the_uv_map(head):
    """Recovered from texels alone, it is what the head's own UV map says of the same picture."""
    atlas = make_atlas(head.uv, head.uv_faces, 384)
    viewmat = np.array([[1.0, 0, 0, 0], [0, -1, 0, 0], [0, 0, -1, 0.6], [0, 0, 0, 1]])
    K = np.array([[900.0, 0, 384], [0, 900, 384], [0, 0, 1]])
    place = np.array([[0.5, 0, -40], [0, 0.5, -60], [0, 0, 1]])
    mask = torch.ones(1, 256, 256)
    mask[:, :, :120] = 0
    crop = Crop(torch.zeros(3, 256, 256), mask, place)
    view = View("a", viewmat, K, np.zeros(0), np.zeros((5, 3)), 0.0)
    ours = tracked_correspondence(OnHead(head, atlas), [head.template], [view], [crop])
    theirs = mesh_correspondence(
        [head.template], head.faces, head.uv, head.uv_faces, viewmat[None], (place @ K)[None], 256, 256
    )
    both = (ours.mask > 0)[0, 0, 0]
    assert both.sum() > 0.99 * (theirs.mask[..., 120:] > 0).sum() > 5000 and not both[:, :120].any()
    off = (ours.uv - theirs.uv)[0, 0].abs().amax(0)[both]
    assert off.quantile(0.95) < 1e-4 and off.max() < 6 / 384  # slivers have a row of texels, which tells one direction
