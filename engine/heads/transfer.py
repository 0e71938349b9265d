"""Carry the default head's expressions, and the inside of its mouth, onto another head's mesh."""

from __future__ import annotations

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import splu

from engine.heads.landmarks import LOWER_LIP_INNER, UPPER_LIP_INNER
from engine.heads.lids import AROUND, off_the_eye
from engine.heads.parametric import ParametricHead
from engine.heads.portrait import Eyeball, eyeballs, vertex_normals
from engine.heads.register import Registration, Surface, laplacian

FRAME_RINGS = 3  # how many rings of neighbours a vertex's frame is fitted to
CLOSE = 2e-3  # metres between the surfaces at which a correspondence is trusted
BENDING = 0.3  # weight of the deltas' smoothness against their fidelity
SOFT, FAINT = 0.3, 0.01  # bending and size of a correction against its goals: it fades out within a centimetre


def transfer_expressions(
    source: ParametricHead, target: Surface, eyes: np.ndarray, correspondence: Registration
) -> np.ndarray:
    """The source's expressions as deltas of the target's vertices.

    Skin deltas are turned and scaled with the skin around them (deformation transfer in its simplest form: Noh and
    Neumann 2001, doi 10.1145/383259.383290). Eyeballs turn about their own centres.

    Args:
        eyes: [V] bool, the target's eyeballs.

    Returns:
        [E, V, 3] float32 metres at weight 1.
    """
    frames = skin_frames(source, correspondence.warped)  # [S, 3, 3]
    corners = source.faces[correspondence.triangles]
    weights = correspondence.barycentrics
    deltas = np.empty((len(source.expression_basis), *target.vertices.shape), np.float32)
    for k, basis in enumerate(source.expression_basis):
        moved = np.einsum("sij,sj->si", frames, basis)
        deltas[k] = np.einsum("vk,vkc->vc", weights, moved[corners])
    deltas = _smooth(deltas, target, correspondence, source)
    _shut_lips(deltas, source.expression_names, target)
    _cover(deltas, source.expression_names, target, eyes)
    deltas[:, eyes] = 0
    pairs = zip(
        eyeballs(source.template.astype(np.float64), source.regions["eyes"]),
        eyeballs(target.vertices, eyes),
        strict=True,
    )
    for side, (own, other) in zip((1, -1), pairs, strict=True):
        mine = source.regions["eyes"] & (side * source.template[:, 0] > 0)
        theirs = eyes & (side * target.vertices[:, 0] > 0)
        deltas[:, theirs] = _turn_eyeball(source, mine, own, target.vertices[theirs], other)
    return deltas


def _smooth(deltas: np.ndarray, target: Surface, correspondence: Registration, source: ParametricHead) -> np.ndarray:
    """The deltas [E, V, 3] with least bending on the target's skin, held where the correspondence is close."""
    count = len(target.vertices)
    corners = correspondence.warped[source.faces[correspondence.triangles]]
    reached = np.einsum("vk,vkc->vc", correspondence.barycentrics, corners)
    flat = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    flat /= np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-15)
    alike = (flat * vertex_normals(target.vertices, target.faces)).sum(axis=1).clip(0, 1)
    trust = alike**2 * np.exp(-((np.linalg.norm(reached - target.vertices, axis=1) / CLOSE) ** 2)) + 1e-3
    bent = laplacian(target.faces, count)
    held = sparse.diags_array(trust)
    solve = splu((held + BENDING * bent.T @ bent).tocsc()).solve
    flat = deltas.transpose(1, 0, 2).reshape(count, -1).astype(np.float64)
    return solve(held @ flat).reshape(count, -1, 3).transpose(1, 0, 2).astype(np.float32)


def _shut_lips(deltas: np.ndarray, names: tuple[str, ...], target: Surface) -> None:
    """Let the lips touch where ``mouthClose`` shuts an open jaw; changes ``deltas``."""
    both = deltas[names.index("jawOpen")] + deltas[names.index("mouthClose")]
    gap = (target.pins[list(UPPER_LIP_INNER)] - target.pins[list(LOWER_LIP_INNER)]) @ both
    rows = target.pins[[*UPPER_LIP_INNER, *LOWER_LIP_INNER]]
    bent = laplacian(target.faces, len(target.vertices))
    matrix = rows.T @ rows + SOFT * bent.T @ bent + FAINT * sparse.eye_array(len(target.vertices))
    goal = np.concatenate([-gap, gap]) / 2
    deltas[names.index("mouthClose")] += splu(matrix.tocsc()).solve(rows.T @ goal).astype(np.float32)


def _cover(deltas: np.ndarray, names: tuple[str, ...], target: Surface, eyes: np.ndarray) -> None:
    """Keep the lids in front of the eyeballs at full weight; changes ``deltas``."""
    lids = np.zeros(len(eyes), bool)
    lids[np.unique(target.faces)] = True
    for ball in eyeballs(target.vertices, eyes):
        near = lids & (np.linalg.norm(target.vertices - ball.centre, axis=1) < AROUND * ball.radius)
        for k, name in enumerate(names):
            if name.startswith("eye"):
                deltas[k] = off_the_eye(deltas[k], target.vertices, near, ball)


def _turn_eyeball(
    source: ParametricHead, mine: np.ndarray, own: Eyeball, points: np.ndarray, other: Eyeball
) -> np.ndarray:
    """[E, N, 3] deltas of ``points`` [N, 3] of an eyeball that moves as the source's does, about its own centre."""
    arms = np.concatenate([source.template[mine] - own.centre, np.full((mine.sum(), 1), own.radius)], axis=1)
    arms_there = np.concatenate([points - other.centre, np.full((len(points), 1), other.radius)], axis=1)
    motions = [np.linalg.lstsq(arms, basis[mine], rcond=None)[0] for basis in source.expression_basis]
    return np.stack([arms_there @ motion for motion in motions]).astype(np.float32)


def skin_frames(source: ParametricHead, warped: np.ndarray) -> np.ndarray:
    """[S, 3, 3] scale · rotation of the skin around each source vertex from its template to ``warped`` [S, 3]."""
    count = len(warped)
    ends = source.faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2)
    linked = sparse.coo_array((np.ones(len(ends)), (ends[:, 0], ends[:, 1])), shape=(count, count)).tocsr()
    near = ((linked + linked.T + sparse.eye_array(count)) > 0).astype(np.float64)
    around = near
    for _ in range(FRAME_RINGS - 1):
        around = around @ near
    around = sparse.csr_array(sparse.diags_array(1 / around.sum(axis=1)) @ around)
    before = source.template.astype(np.float64)
    middle_before, middle_after = around @ before, around @ warped
    products = (warped[:, :, None] * before[:, None, :]).reshape(count, 9)
    covariance = (around @ products).reshape(count, 3, 3) - middle_after[:, :, None] * middle_before[:, None, :]
    spread = around @ (before**2).sum(axis=1) - (middle_before**2).sum(axis=1)
    u, size, vt = np.linalg.svd(covariance)
    size[:, 2] *= np.sign(np.linalg.det(u @ vt))
    u[:, :, 2] *= np.sign(np.linalg.det(u @ vt))[:, None]
    return (u @ vt) * (size.sum(axis=1) / np.maximum(spread, 1e-12))[:, None, None]
