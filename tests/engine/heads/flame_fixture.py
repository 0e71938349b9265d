"""A made-up model in FLAME's format: what the licensed files hold, with synthetic numbers and a head's own mesh."""

from __future__ import annotations

import pickle
import sys
import types
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import numpy as np
from scipy import sparse

from engine.heads.parametric import ParametricHead

JOINTS = 5
PARENTS = np.array([[4294967295, 0, 1, 1, 1], [0, 1, 2, 3, 4]], np.int64)  # FLAME's root parent is uint32's -1


def flame_arrays(vertices: np.ndarray, faces: np.ndarray, seed: int = 0) -> dict[str, np.ndarray]:
    """FLAME's arrays under FLAME's keys for a mesh: 300 + 100 shape directions, 36 pose directions, 5 joints."""
    rng = np.random.default_rng(seed)
    count = len(vertices)
    regressor = rng.random((JOINTS, count)) ** 8
    weights = rng.random((count, JOINTS)) ** 4
    return {
        "v_template": np.array(vertices, np.float64),
        "f": np.array(faces, np.uint32),
        "shapedirs": rng.normal(scale=1e-3, size=(count, 3, 400)),
        "posedirs": rng.normal(scale=1e-3, size=(count, 3, 36)),
        "J_regressor": regressor / regressor.sum(axis=1, keepdims=True),
        "kintree_table": PARENTS,
        "weights": weights / weights.sum(axis=1, keepdims=True),
    }


def another_head(head: ParametricHead, seed: int = 0) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """A FLAME-format model of another person with skin and eyeballs only, its vertices shuffled.

    Returns:
        the arrays; [V] the vertex of ``head`` that each of its vertices is.
    """
    rng = np.random.default_rng(seed)
    kept = np.zeros(len(head.template), bool)
    kept[np.unique(head.faces[~_inner(head)])] = True
    origins = rng.permutation(np.nonzero(kept)[0])
    renumber = np.full(len(kept), -1)
    renumber[origins] = np.arange(len(origins))
    faces = renumber[head.faces[kept[head.faces].all(axis=1) & ~_inner(head)]]
    identity = rng.normal(size=len(head.identity_basis))
    person = head.template + np.tensordot(identity, head.identity_basis, axes=1)
    arrays = flame_arrays(1.03 * person[origins] + [0.001, 0.02, -0.015], faces, seed)

    joints = head.joint_regressor @ person
    regressor = np.zeros((JOINTS, len(origins)))
    for k, joint in enumerate(joints[:3]):  # the vertices around neck, head and jaw; whole eyeballs for the eyes
        near = np.argsort(np.linalg.norm(person[origins] - joint, axis=1))[:40]
        regressor[k, near] = 1 / 40
    for k, side in ((3, 1), (4, -1)):
        ball = head.regions["eyes"][origins] & (side * person[origins, 0] > 0)
        regressor[k, ball] = 1 / ball.sum()
    return arrays | {"J_regressor": regressor}, origins


def _inner(head: ParametricHead) -> np.ndarray:
    """[F] bool: what FLAME does not have."""
    return head.face_region("teeth", "tongue", "lashes", "mouth_interior")


def write_pickle(path: Path, arrays: dict[str, np.ndarray], matrix: Callable = sparse.csc_matrix) -> None:
    """Write the arrays as FLAME's own files are: protocol 2, chumpy around the shapes, a sparse joint regressor."""
    chumpy, ch = types.ModuleType("chumpy"), types.ModuleType("chumpy.ch")
    kind = type("Ch", (), {"__module__": "chumpy.ch"})
    ch.Ch = kind

    def wrapped(array: np.ndarray) -> object:
        made = kind()
        made.__dict__ |= {"x": array, "_dirty_vars": set(), "_itr": None}
        return made

    content = arrays | {
        "v_template": wrapped(arrays["v_template"]),
        "shapedirs": wrapped(np.asfortranarray(arrays["shapedirs"])),
        "J_regressor": matrix(arrays["J_regressor"]),
        "bs_type": "lrotmin",
    }
    with mock.patch.dict(sys.modules, {"chumpy": chumpy, "chumpy.ch": ch}):
        path.write_bytes(pickle.dumps(content, protocol=2))
