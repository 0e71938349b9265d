"""The networks and the canonical face from FaceLandmarker's bundle: read once, used by one thread at a time."""

from __future__ import annotations

import os
import tempfile
import threading
import zipfile
from collections.abc import Iterator
from contextlib import chdir, contextmanager, nullcontext
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np

from engine import assets
from engine.atomic import output_error
from engine.protobuf import message

BUNDLE = "face_landmarker.task"
NETWORKS = ("face_detector.tflite", "face_landmarks_detector.tflite", "face_blendshapes.tflite")
_BUSY = threading.Lock()  # a network of OpenCV's keeps the image that it looks at


@dataclass(frozen=True)
class Canonical:
    """The mean face that a head rotation is measured against (MediaPipe's face geometry).

    Attributes:
        vertices: [468, 3] float64 centimetres, x right, y up, z toward the viewer.
        triangles: [T, 3] int64, the mesh over landmarks.
        weights: [468] float64, how far each landmark counts; most are 0.
    """

    vertices: np.ndarray
    triangles: np.ndarray
    weights: np.ndarray


@dataclass(frozen=True)
class Networks:
    """``detector`` finds boxes, ``mesh`` landmarks, ``blendshapes`` scores; to be used in :func:`loaded` only."""

    detector: cv2.dnn.Net
    mesh: cv2.dnn.Net
    blendshapes: cv2.dnn.Net
    canonical: Canonical


@contextmanager
def loaded() -> Iterator[Networks]:
    """The networks, for this thread alone while the block runs.

    Raises:
        AssetError: the bundle has not been fetched. OutputError: it does not fit into the folder for temporary files.
    """
    with _BUSY:
        yield _networks()


@lru_cache(maxsize=1)
def canonical() -> Canonical:
    """The canonical face alone. Raises AssetError."""
    with zipfile.ZipFile(assets.path(BUNDLE)) as bundle:
        return _canonical(bundle.read("geometry_pipeline_metadata_landmarks.binarypb"))


@lru_cache(maxsize=1)
def _networks() -> Networks:
    with zipfile.ZipFile(assets.path(BUNDLE)) as bundle, tempfile.TemporaryDirectory() as folder:
        try:
            bundle.extractall(folder, NETWORKS)
        except OSError as error:
            raise output_error(Path(folder, BUNDLE), error) from error
        # OpenCV 5's new engine gives a wrong presence of a face, and hides all of a network's outputs but one. Only for
        # a file can the classic one be chosen, and on Windows OpenCV opens none whose path the code page cannot say.
        with nullcontext() if folder.isascii() else chdir(folder):
            where = folder if folder.isascii() else ""
            paths = (os.path.join(where, name) for name in NETWORKS)
            detector, mesh, blendshapes = (cv2.dnn.readNetFromTFLite(p, cv2.dnn.ENGINE_CLASSIC) for p in paths)
    return Networks(detector, mesh, blendshapes, canonical())


def _canonical(data: bytes) -> Canonical:
    """Field numbers are those of MediaPipe's geometry_pipeline_metadata.proto and mesh_3d.proto."""
    parse = message(
        "face_geometry",
        Mesh={"vertices": (3, "float*"), "triangles": (4, "uint32*")},
        Landmark={"id": (1, "uint32"), "weight": (2, "float")},
        Metadata={"mesh": (1, "Mesh"), "basis": (2, "Landmark*")},
    )
    metadata = parse(data)
    vertices = np.array(metadata.mesh.vertices).reshape(-1, 5)[:, :3]  # position, then texture coordinates
    weights = np.zeros(len(vertices))
    for landmark in metadata.basis:
        weights[landmark.id] = landmark.weight
    return Canonical(vertices, np.array(metadata.mesh.triangles, np.int64).reshape(-1, 3), weights)
