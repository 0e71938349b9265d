"""Eyes, lashes, teeth, tongue, the mouth's inside and hair behind, drawn for every system alike, and lids that close.

These move by centimetres under keys and show what no photo did. They are built whole, in the photos' light, and stay as
they are: neither a network's guess nor refinement may paint them to explain one photo.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from engine.gaussians.gaussians import PARTS, at_anchors
from engine.heads.parametric import ParametricHead
from engine.heads.portrait import eyeballs
from engine.models.head_gaussians import HALF, HeadGaussians
from engine.models.parts import eyes, lashes, mouth
from engine.models.parts.lids import close_lids
from engine.models.parts.light import light_on
from engine.models.parts.matching import match_eyes
from engine.models.parts.placing import joined, tie
from engine.models.parts.strands import grow_hair
from engine.models.surface import OPACITY
from engine.models.surface.beyond import still_triangles
from engine.models.surface.rounding import rounded
from engine.photos.photo import Photo

__all__ = ["close_lids", "furnish"]


def furnish(model: HeadGaussians, photos: Sequence[Photo], head: ParametricHead) -> HeadGaussians:
    """The head with round skin and these parts drawn: new Gaussians in place of eyes, teeth and lashes, new colours on
    tongue and the mouth's skin. All that is drawn is ``fixed``."""
    g = model.gaussians
    triangles, surface = g.triangles.numpy(), (g.parts == PARTS.index("surface")).numpy()
    vertices = model.rig.neutral.numpy().astype(np.float64)
    position = at_anchors(g, head.faces, vertices)
    colors, seen = g.colors.numpy().astype(np.float64), model.seen.numpy() > HALF

    def on(faces: np.ndarray) -> np.ndarray:
        return faces[triangles] & surface

    light = light_on(colors[on(head.face_region("face") & ~head.face_region("lips", "brows")) & seen])
    front = float(vertices[head.regions["teeth"], 2].max()) if head.regions["teeth"].any() else 0.0

    tongue, lining = (on(head.face_region(name)) for name in ("tongue", "mouth_interior"))
    repainted = colors.copy()
    repainted[lining] = mouth.lining_colors(position[lining], front, light)
    repainted[tongue] = mouth.tongue_colors(position[tongue], front, light)

    arches = mouth.arches(head)
    on_teeth = on(arches["upper"] | arches["lower"])
    enamel = mouth.enamel(colors[on_teeth & seen], light)
    balls = eyeballs(vertices, head.regions["eyes"])
    look = eyes.measure([photos[model.shoot.leading], *photos], light)
    brows = colors[on(head.face_region("brows")) & seen]
    hair = np.median(brows, axis=0) * 0.6 if len(brows) else lashes.DARK
    still, drawn = still_triangles(head), []
    left = vertices[head.faces].mean(axis=1)[:, 0] > 0
    for name, faces in arches.items():
        strokes = mouth.teeth(head, vertices, faces, name == "upper", enamel, light)
        drawn.append(tie(strokes, model.rig, np.flatnonzero(faces)))
    for ball, side in zip(balls, (left, ~left), strict=True):
        drawn.append(tie(eyes.draw(ball, look), model.rig, np.flatnonzero(head.face_region("eyes") & side)))
        drawn.append(tie(eyes.glint(ball, look, light), model.rig, still))
    strokes = lashes.draw(head, vertices, balls, hair)
    if len(strokes.means):
        drawn.append(tie(strokes, model.rig, np.flatnonzero(head.face_region("lashes"))))

    replaced = on(head.face_region("eyes", "lashes")) | on_teeth
    clean = tongue | lining
    painted = _repainted(model, repainted, clean)
    painted = replace(painted, gaussians=rounded(painted.gaussians, head, model.rig))
    whole = grow_hair(joined(painted, ~replaced, torch.from_numpy(clean), drawn), photos, head)
    leading = model.shoot.leading
    return match_eyes(whole, photos[leading], model.views[leading], head)


def _repainted(model: HeadGaussians, colors: np.ndarray, where: np.ndarray) -> HeadGaussians:
    """Gaussians of a mask [N] flat on the skin, just covering it, in new colours and without a motion of their own."""
    g, mask = model.gaussians, torch.from_numpy(where)
    column = mask[:, None]
    made = replace(
        g,
        colors=torch.where(column, torch.from_numpy(colors).float(), g.colors),
        offsets=torch.where(column, 0.0, g.offsets),
        quats=torch.where(column, torch.tensor([1.0, 0, 0, 0]), g.quats),
        scales=torch.where(column, model.cover, g.scales),
        opacities=torch.where(mask, OPACITY, g.opacities),
    )
    eigenbasis = model.eigenbasis
    if eigenbasis is not None:
        eigenbasis = replace(eigenbasis, basis=eigenbasis.basis * ~column)
    return replace(model, gaussians=made, eigenbasis=eigenbasis)
