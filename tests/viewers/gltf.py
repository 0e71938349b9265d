"""What others make of our .glb: three's loader where its vertices are, Khronos' validator what is wrong with it."""

from __future__ import annotations

import base64
import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial import cKDTree

from engine.avatar import Pose
from tests.viewers.browser import HERE, Browser, Job

MOST = 8000  # vertices of one mesh that are compared, evenly of all
SAME, NEIGHBOURS = 1e-5, 4  # m within which vertices are in one place at rest; so many at most


@dataclass(frozen=True)
class LoadedMesh:
    """A skinned mesh as three has it.

    Attributes:
        targets: names of its morph targets. texture: its picture's width and height; None without one.
        vertices: how many it has.
        places: [P, n, 3] float32 metres, where its vertices, or some of them, are in the world in each pose.
    """

    name: str
    targets: list[str]
    texture: list[int] | None
    vertices: int
    places: np.ndarray


@dataclass(frozen=True)
class Loaded:
    """A .glb as three has it; ``box`` [2, 3] is the least and the most of everything in it, as it is in the file."""

    meshes: list[LoadedMesh]
    bones: list[str]
    box: np.ndarray


def load(browser: Browser, file: Path, poses: Sequence[Pose]) -> Loaded:
    """Load a file in three and set poses, one after the other.

    Raises:
        AssertionError: it cannot be loaded, or has no such morph target.
    """
    wanted = [
        {
            "weights": dict(pose.expression),
            "turns": {joint: np.asarray(turn).tolist() for joint, turn in pose.joint_rotations.items()},
        }
        for pose in poses
    ]
    words = {"url": f"/shared/{file.name}", "poses": wanted, "most": MOST}
    (answer,) = browser.run([Job("gltf", words)], file.parent)
    assert not answer.error, f"{file.name}: {answer.error}\n" + "\n".join(answer.lines)
    told = answer.answer
    meshes = [
        LoadedMesh(m["name"], m["targets"], m["texture"], m["vertices"], np.stack([_places(p) for p in m["places"]]))
        for m in told["meshes"]
    ]
    return Loaded(meshes, told["bones"], np.array(told["box"]))


def _places(packed: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(packed), "<f4").reshape(-1, 3)


def validate(browser: Browser, file: Path) -> dict[str, Any]:
    """The validator's report: ``issues`` with ``numErrors``, ``numWarnings`` and ``messages``; ``info``."""
    command = ["node", str(HERE / "validate.mjs"), str(browser.root), str(file)]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def largest_errors(places: np.ndarray, own: np.ndarray) -> np.ndarray:
    """[P] metres: how far a loaded mesh is from ours at most, in each pose.

    A file may hold a vertex of ours several times, and we may have several in one place (closed lips). So what a loaded
    vertex is compared with is, of ours that lie where it lies at rest, the nearest.

    Args:
        places: [P, n, 3] the loaded mesh's. own: [P, V, 3] ours; the first pose of both is rest.
    """
    apart, same = cKDTree(own[0]).query(places[0], k=NEIGHBOURS, distance_upper_bound=SAME)
    assert np.isfinite(apart[:, 0]).all(), "A vertex of the file lies where none of ours does."
    beyond = np.concatenate((own, np.full_like(own[:, :1], np.inf)), axis=1)  # what the tree did not find
    return np.linalg.norm(beyond[:, same] - places[:, :, None], axis=3).min(axis=2).max(axis=1)
