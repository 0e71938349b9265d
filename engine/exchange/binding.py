"""Makes static splats a head that moves: the default head is laid over them, and carries them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from engine.avatar import Avatar, drive
from engine.errors import AvatarError
from engine.exchange.incoming import Imported
from engine.exchange.inside import draw_mouth, inside, is_shut
from engine.exchange.registration import register_head
from engine.exchange.static import is_static
from engine.gaussians.binding import bind, nearest_triangles
from engine.gaussians.gaussians import PARTS, BoundGaussians, Splats, concatenate
from engine.heads import load_head
from engine.heads.parametric import ParametricHead
from engine.heads.portrait import eyeballs
from engine.heads.rig import Rig, make_rig, person_fields
from engine.models.head_gaussians import HeadGaussians, Shoot
from engine.models.parts import close_lids
from engine.models.surface.beyond import LEVEL, still_triangles
from engine.progress import Progress

FAR = 0.012  # metres from the mesh, from which splats are hair or clothes and go with what no expression moves
ON_BALL = 0.0008  # metres before an eyeball, up to which a splat belongs to the eye and not to its lids
KIND = "bound"


def bind_to_head(static: Avatar, name: str, progress: Progress) -> Imported:
    """Static splats as a head of the default model, with its keys and bones; at rest it looks as it came.

    Raises:
        AvatarError: the avatar moves already, or shows no face.
        Cancelled: the user asked to stop.
    """
    if not is_static(static):
        raise AvatarError(f"{static.name} is no import of static splats; it moves already.", "Animate it as it is.")
    progress.start("head model")
    head = load_head()
    splats = drive(static, {})
    placed = register_head(static, splats, head, progress)
    progress.start("binding")
    joints = (head.joint_regressor @ placed.vertices).astype(np.float32)
    rig = make_rig(head, placed.vertices, joints)
    splats, notes = placed.to_head.splats(splats), [f"The mesh meets the face's landmarks within {placed.off:.1f} mm."]
    if shut := is_shut(head, placed.vertices):
        outside = torch.from_numpy(~inside(splats, placed.hidden, rig, head))
        splats = Splats(*(value[outside] for value in vars(splats).values()))
    else:
        notes.append("The mouth is open in the splats: what is seen of it is kept, and nothing drawn into it.")
    gaussians = tie(splats, rig, head)
    if shut:
        skin = torch.from_numpy(head.face_region("face") & ~head.face_region("lips", "brows", "lids"))
        on_skin = skin[gaussians.triangles] & (gaussians.parts == PARTS.index("surface"))
        gaussians = concatenate(gaussians, draw_mouth(gaussians.colors[on_skin].double().numpy(), rig, head))
    model = close_lids(_as_made(gaussians, rig), head)
    progress.finish()
    provenance = {
        **static.provenance,
        "kind": KIND,
        "head_model": {"name": head.name, "licence": head.licence},
        "metrics": {**static.provenance["metrics"], "landmark_mm": round(placed.off, 3)},
        "notes": notes,
    }
    made = replace(
        static,
        name=name,
        **person_fields(head, rig),
        gaussians=model.gaussians,
        eigenbasis=model.eigenbasis,
        provenance=provenance,
    )
    return Imported(made, tuple(notes))


def tie(splats: Splats, rig: Rig, head: ParametricHead) -> BoundGaussians:
    """Splats in the head's space, each bound to the triangle that it shall follow: near ones to the nearest, far ones
    to the nearest that no expression moves, by height rather than by distance, as hair and clothes hang."""
    usual = torch.from_numpy(np.flatnonzero(~head.face_region("lashes")))
    triangles, barycentrics = nearest_triangles(splats.means, rig.neutral, rig.faces, usual)
    corners = rig.neutral[rig.faces[triangles]]
    far = (splats.means - (barycentrics[:, :, None] * corners).sum(1)).norm(dim=1) > FAR
    flat = torch.tensor([LEVEL, 1.0, LEVEL])
    still = torch.from_numpy(still_triangles(head))
    triangles[far], barycentrics[far] = nearest_triangles(
        splats.means[far] * flat, rig.neutral * flat, rig.faces, still
    )
    for ball, triangle_side in zip(eyeballs(rig.neutral.double().numpy(), head.regions["eyes"]), (1, -1), strict=True):
        on_ball = (splats.means - torch.from_numpy(ball.centre).float()).norm(dim=1) < ball.radius + ON_BALL
        middle = rig.neutral[rig.faces].mean(dim=1)[:, 0] * triangle_side > 0
        eye = torch.from_numpy(head.face_region("eyes")) & middle
        triangles[on_ball], barycentrics[on_ball] = nearest_triangles(
            splats.means[on_ball], rig.neutral, rig.faces, eye.nonzero()[:, 0]
        )
    on_torso = rig.skin_weights[rig.faces[triangles]].mean(dim=1)[:, 0] > 0.5
    beyond = torch.where(on_torso, PARTS.index("torso"), PARTS.index("hair"))
    return bind(
        **vars(splats),
        parts=torch.where(far, beyond, PARTS.index("surface")).to(torch.uint8),
        vertices=rig.neutral,
        faces=rig.faces,
        triangles=triangles,
        barycentrics=barycentrics,
    )


def _as_made(gaussians: BoundGaussians, rig: Rig) -> HeadGaussians:
    """What the engine's own parts work on: all of it is seen, in one light."""
    count = len(gaussians)
    return HeadGaussians(
        rig,
        gaussians,
        cover=gaussians.scales,
        seen=torch.ones(count),
        owner=torch.zeros(count, dtype=torch.long),
        fixed=torch.zeros(count, dtype=torch.bool),
        shoot=Shoot(0, np.zeros((1, 9, 3)), np.ones(1, bool)),
        pairs=torch.zeros((0, 2), dtype=torch.long),
        views=(),
    )
