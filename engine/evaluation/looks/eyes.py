"""Where the irises of a rendered head look, found in the pictures alone."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from engine.avatar import Avatar, drive
from engine.evaluation.looks.marks import on_region
from engine.gaussians.gaussians import at_anchors
from engine.heads.portrait import Eyeball, eyeballs
from engine.models.parts.eyes import limbus
from engine.rendering import Camera, render

GAZES = (("In", 0.5), ("In", 1), ("Out", 0.5), ("Out", 1), ("Up", 0.4), ("Up", 0.8), ("Down", 0.33), ("Down", 0.66))
SIDE, ACROSS, AWAY = 384, 0.04, 0.6  # px and m of the close-up; m from the eye to the camera
THIN, LEAST, RING = 11, 60, 1.45  # every so manieth pixel; fewest of them; radii of the iris that are looked at
SHOWN = 0.8  # of a pixel, from which it shows the eyeball
LARGEST = 30.0  # degrees, what an iris that is not found counts as
RINGS = np.deg2rad(np.arange(2, 27, 2))


def iris_std(avatar: Avatar) -> float:
    """Spread of luminance around rings of 2° about the gaze, the mean over rings from 2° to 26° and both eyes."""
    g = avatar.gaussians
    eye = torch.from_numpy(on_region(avatar, "eyes"))[g.triangles].numpy() & (g.parts == 0).numpy()
    points = at_anchors(g, avatar.faces, avatar.vertices)[eye]
    grey = g.colors.numpy()[eye].mean(axis=1)
    found = []
    for ball in eyeballs(avatar.vertices, avatar.regions["eyes"]):
        ray = points - ball.centre
        far = np.linalg.norm(ray, axis=1)
        angle = np.arccos(np.clip(ray[:, 2] / far, -1, 1))
        near = far < 1.5 * ball.radius
        for low, high in zip(RINGS[:-1], RINGS[1:], strict=True):
            ring = near & (angle >= low) & (angle < high)
            if ring.sum() > 5:
                found.append(float(grey[ring].std()))
    return float(np.mean(found)) if found else math.nan


def gaze_error(avatar: Avatar) -> float:
    """Degrees between the gaze that the keys command and the iris that the picture shows; the mean over both eyes.

    The lids are held wide, or they would hide the iris of an eye that looks down.
    """
    errors = []
    eyes = avatar.regions["eyes"]
    shown_by = torch.from_numpy(on_region(avatar, "eyes"))[avatar.gaussians.triangles]
    marks = shown_by[:, None].float().expand(-1, 3).contiguous()
    for side, ball in zip(("Left", "Right"), eyeballs(avatar.vertices, eyes), strict=True):
        mine = eyes & ((avatar.vertices[:, 0] > 0) == (side == "Left"))
        rest = avatar.vertices[mine] - ball.centre
        camera = _close_up(ball)
        for key, weight in GAZES:
            name = f"eyeLook{key}{side}"
            turned = rest + weight * avatar.key_deltas[avatar.key_names.index(name)][mine]
            turn, _ = Rotation.align_vectors(turned - turned.mean(axis=0), rest - rest.mean(axis=0))
            splats = drive(avatar, {name: weight, f"eyeWide{side}": 1.0})
            grey = render(splats, camera).over(0.5).mean(dim=-1).numpy()
            shown = render(replace(splats, colors=marks), camera).rgb[..., 0].numpy() > SHOWN
            errors.append(_off(grey, shown, camera, ball, turn.apply([0.0, 0.0, 1.0])))
    return float(np.mean(errors))


def _close_up(ball: Eyeball) -> Camera:
    viewmat = np.diag([1.0, -1.0, -1.0, 1.0])
    viewmat[:3, 3] = -viewmat[:3, :3] @ (ball.centre + [0, 0, AWAY])
    focal = SIDE * AWAY / ACROSS
    return Camera(viewmat, np.array([[focal, 0, SIDE / 2], [0, focal, SIDE / 2], [0, 0, 1.0]]), SIDE, SIDE)


def _off(grey: np.ndarray, shown: np.ndarray, camera: Camera, ball: Eyeball, gaze: np.ndarray) -> float:
    """Degrees between ``gaze`` and the axis about which the shown part of the eyeball is dark inside and light around.

    A disc's template on the sphere is correlated with the pixels, whatever part of it the lids leave.
    """
    row, column = (axis[::THIN] for axis in np.nonzero(shown))
    if len(row) < LEAST:
        return LARGEST
    ray = np.stack([column + 0.5 - SIDE / 2, row + 0.5 - SIDE / 2, np.full(len(row), camera.K[0, 0])], axis=1)
    ray /= np.linalg.norm(ray, axis=1, keepdims=True)
    centre = np.array([0.0, 0.0, AWAY])  # of the ball, in the camera's space
    along = ray @ centre
    inside = ball.radius**2 - (centre @ centre - along**2)
    hit = inside > 0
    surface = ray[hit] * (along[hit] - np.sqrt(inside[hit]))[:, None] - centre
    direction = surface / np.linalg.norm(surface, axis=1, keepdims=True) * [1, -1, -1]
    bright = grey[row, column][hit]
    limb = limbus(ball)
    best = np.zeros(2)
    for reach, step in ((45.0, 3.0), (3.0, 0.5)):
        offsets = np.arange(-reach, reach + step / 2, step)
        tried = best + np.stack(np.meshgrid(offsets, offsets), axis=-1).reshape(-1, 2)
        scores = _likeness(direction, bright, Rotation.from_euler("xy", tried, degrees=True), limb)
        best = tried[int(scores.argmax())]
    axis = Rotation.from_euler("xy", best, degrees=True).apply([0.0, 0.0, 1.0])
    return min(math.degrees(math.acos(float(np.clip(axis @ gaze, -1, 1)))), LARGEST)


def _likeness(direction: np.ndarray, bright: np.ndarray, axes: Rotation, limb: float) -> np.ndarray:
    """[T] correlation of pixels with a dark disc of angle ``limb`` about each axis, over it and a ring around it."""
    angle = np.arccos(np.clip(direction @ axes.apply([0.0, 0.0, 1.0]).T, -1, 1))  # [M, T]
    near = (angle < RING * limb).astype(float)
    ring = near * (angle >= limb)
    count = np.maximum(near.sum(axis=0), 1)
    mean_ring, mean = ring.sum(axis=0) / count, (bright[:, None] * near).sum(axis=0) / count
    both = (bright[:, None] * ring).sum(axis=0) / count - mean_ring * mean
    spread = (np.square(bright)[:, None] * near).sum(axis=0) / count - mean**2
    return both / np.sqrt(np.maximum(spread * mean_ring * (1 - mean_ring), 1e-9)) * (near.sum(axis=0) > LEAST)
