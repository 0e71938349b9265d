"""Lids that meet: how far a blink has to go depends on how wide a person's eyes are open."""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_array
from scipy.spatial import cKDTree

from engine.curves import smoothstep
from engine.heads.landmarks import LEFT_LIDS, RIGHT_LIDS
from engine.heads.parametric import ParametricHead
from engine.heads.portrait import Eyeball, eyeballs

BLINKS = ((LEFT_LIDS, "eyeBlinkLeft"), (RIGHT_LIDS, "eyeBlinkRight"))
RAISED = 0.12  # of the open eye's height, that the lower lid comes to meet the upper one
OVERLAP = 0.7e-3  # m that the upper lid's edge goes beyond the lower one's
LOWER_REACH = 0.004  # m under the lower lid's edge over which the skin there follows it
STILL, MOVING = 0.5e-3, 2e-3  # m of a blink, between which skin belongs to the lower and to the upper lid
PACE = (0.1, 1.25)  # bounds of how much further or less far than in the head model a part of a lid goes
FOLDED = 0.5  # of how high skin lies over the upper lid's edge, that it stays over it at least
BLUR = 0.002  # m along the lids over which that is evened
CORNEA = 1.2e-3  # m that lids keep from the eyeball
ROUNDS = 6
AROUND = 2.5  # radii of the eyeball within which skin is lid
NOTHING = 1e-6  # m, of a movement that is none: programs that keep places, not changes, would lose it
CURVE = 60  # places along a lid's edge


def meeting_lids(head: ParametricHead, vertices: np.ndarray) -> np.ndarray:
    """The head model's expression basis with both blinks as far as a person's lids have to go, and no further.

    The upper lid's edge ends on the lower one's, which rises a little to meet it, all along the eye; the skin of the
    lids keeps off the eyeball. A blink that was modelled for one face passes the lower lid of another by millimetres.

    Args:
        vertices: [V, 3] metres, the person's neutral mesh, eyes open.

    Returns:
        [E, V, 3] float32, metres at weight 1.
    """
    basis = head.expression_basis.astype(np.float32, copy=True)
    vertices = vertices.astype(np.float64)
    for ball, (rims, key) in zip(eyeballs(vertices, head.regions["eyes"]), BLINKS, strict=True):
        rim = np.concatenate(rims)
        corners = head.faces[head.landmark_triangles[rim]]
        rows = np.repeat(np.arange(len(rim)), 3), corners.ravel()
        on_rim = csr_array((head.landmark_barycentrics[rim].ravel(), rows), (len(rim), len(vertices)))
        near = np.linalg.norm(vertices - ball.centre, axis=1) < AROUND * ball.radius
        row = head.expression_names.index(key)
        basis[row, ~near] = 0  # MakeHuman's moves the inside of the head as well
        near &= ~head.regions["eyes"]
        made = _meet(basis[row].astype(np.float64), vertices, near, ball, on_rim)
        made[np.linalg.norm(made, axis=1) < NOTHING] = 0
        basis[row] = made
    return basis


def _meet(delta: np.ndarray, vertices: np.ndarray, skin: np.ndarray, ball: Eyeball, on_rim: csr_array) -> np.ndarray:
    """[V, 3] the blink ``delta`` of one eye, corrected."""
    upper, lower = np.split(on_rim @ vertices, 2)
    order = np.argsort(upper[:, 0])
    upper, lower = upper[order], lower[np.argsort(lower[:, 0])]
    x, y = vertices[:, 0], vertices[:, 1]
    below = np.interp(upper[:, 0], lower[:, 0], lower[:, 1])
    gap = np.maximum(upper[:, 1] - below, 0)
    rise = RAISED * gap
    # the lower lid, with the skin under it and the rim behind it
    at = np.linspace(lower[0], lower[-1], CURVE)
    for axis in (1, 2):
        at[:, axis] = np.interp(at[:, 0], lower[:, 0], lower[:, axis])
    far, _ = cKDTree(at).query(vertices[skin])
    own = 1 - smoothstep(np.linalg.norm(delta[skin], axis=1), STILL, MOVING)
    lift = np.zeros(len(vertices))
    lift[skin] = own * np.exp(-((far / LOWER_REACH) ** 2)) * np.interp(x[skin], upper[:, 0], rise)
    # the upper one: each part of it as much further or less far as it takes to get there
    goal = below + rise - OVERLAP
    mine = np.flatnonzero(skin & (delta[:, 1] < -1e-6))
    edge, end = (np.interp(x[mine], upper[:, 0], values) for values in (upper[:, 1], goal))
    least = np.minimum(end + FOLDED * np.maximum(y[mine] - edge, 0) - y[mine], 0)  # no part of it ends under the edge
    pace, made = np.ones(len(upper)), delta
    for _ in range(ROUNDS):
        reached = (on_rim @ (vertices + made))[order, 1]
        went = np.minimum(reached - upper[:, 1], -1e-3 * gap - 1e-6)
        pace = np.clip(pace * (goal - upper[:, 1]) / went, *PACE)
        share = np.exp(-(((upper[:, None, 0] - upper[None, :, 0]) / BLUR) ** 2))
        even = share @ pace / share.sum(axis=1)
        made = delta * np.interp(x, upper[:, 0], even)[:, None]
        end = np.maximum(made[mine, 1], least)
        made[mine] *= (end / np.minimum(made[mine, 1], -1e-9)).clip(0, 1)[:, None]
        made[:, 1] += lift
        made = off_the_eye(made, vertices, skin, ball)
    return made


def off_the_eye(delta: np.ndarray, vertices: np.ndarray, skin: np.ndarray, ball: Eyeball) -> np.ndarray:
    """``delta`` [V, 3], where ``skin`` [V] keeps in front of the eyeball, as far as it does so at rest."""
    rest = np.linalg.norm(vertices - ball.centre, axis=1)
    near = skin & (rest > ball.radius)
    arms = vertices[near] + delta[near] - ball.centre
    length = np.linalg.norm(arms, axis=1)
    wanted = np.maximum(length, np.minimum(rest[near], ball.radius + CORNEA))
    delta = delta.copy()
    delta[near] += arms * (wanted / length - 1)[:, None]
    return delta
