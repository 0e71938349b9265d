"""Random expressions, gazes, head poses, cameras and lights of casual portraits."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from engine.arkit import ARKIT_NAMES
from engine.heads.parametric import JOINTS
from engine.synthetic.canvas import looking

LEFT_RIGHT = ("Left", "Right")
# Weights of keys; a name without its side means both sides.
PROTOTYPES: tuple[dict[str, float], ...] = (
    {},
    {"mouthSmile": 0.6, "cheekSquint": 0.3},
    {"mouthSmile": 0.9, "cheekSquint": 0.7, "eyeSquint": 0.4, "jawOpen": 0.15, "mouthUpperUp": 0.4},
    {"mouthSmile": 0.8, "jawOpen": 0.55, "cheekSquint": 0.6, "mouthUpperUp": 0.3, "mouthLowerDown": 0.3},
    {"jawOpen": 0.7, "browInnerUp": 0.9, "browOuterUp": 0.8, "eyeWide": 0.8},
    {"browDown": 0.9, "eyeSquint": 0.5, "noseSneer": 0.4, "mouthPress": 0.5, "mouthFrown": 0.3},
    {"browDown": 0.7, "noseSneer": 0.8, "mouthUpperUp": 0.7, "jawOpen": 0.3, "mouthStretch": 0.4},
    {"browInnerUp": 0.9, "mouthFrown": 0.8, "mouthShrugLower": 0.5},
    {"noseSneer": 0.9, "mouthUpperUp": 0.5, "eyeSquint": 0.5, "browDown": 0.4},
    {"mouthPucker": 0.9}, {"mouthFunnel": 0.8, "jawOpen": 0.25}, {"mouthFunnel": 0.5, "mouthPucker": 0.4},
    {"mouthStretch": 0.7, "jawOpen": 0.2, "mouthLowerDown": 0.5}, {"jawOpen": 0.9}, {"jawOpen": 0.45},
    {"mouthClose": 0.25, "jawOpen": 0.3}, {"mouthRollLower": 0.7, "mouthRollUpper": 0.7}, {"cheekPuff": 0.9},
    {"eyeBlink": 1.0}, {"eyeBlinkLeft": 0.95, "mouthSmileLeft": 0.5, "cheekSquintLeft": 0.6},
    {"eyeBlinkRight": 0.95, "mouthSmileRight": 0.5, "cheekSquintRight": 0.6}, {"eyeBlink": 0.4},
    {"eyeSquint": 0.9, "cheekSquint": 0.6, "browDown": 0.4}, {"browOuterUp": 0.9, "browInnerUp": 0.7},
    {"browOuterUpLeft": 0.9, "browDownRight": 0.6}, {"mouthLeft": 0.7, "jawLeft": 0.4},
    {"mouthRight": 0.7, "jawRight": 0.4}, {"jawForward": 0.8}, {"mouthDimple": 0.8, "mouthPress": 0.4},
    {"tongueOut": 0.9, "jawOpen": 0.4}, {"mouthShrugUpper": 0.6, "mouthShrugLower": 0.7},
    {"mouthSmileLeft": 0.7, "mouthDimpleLeft": 0.5},
)  # fmt: skip
ODDS = np.array([1, 3, 3, 3] + [1] * (len(PROTOTYPES) - 4), float)  # people smile at cameras
ODDS /= ODDS.sum()
AT_REST = 0.2  # of all expressions are nearly neutral
GAZE = np.radians((9.0, 5.0)), np.radians((24.0, 14.0))  # deviation and limit, sideways and up
TURN = np.radians((7.0, 8.0, 4.0))  # deviation of the head's pitch, yaw and roll, shared by neck and head
YAW, PITCH, ROLL = np.radians((60.0, 25.0, 12.0))  # the cameras' limits
HEAD_HEIGHT = 0.235  # m, chin to crown
FILL = (0.52, 0.72)  # of the picture's height
FIELD_OF_VIEW = np.radians((13.0, 34.0))


@dataclass(frozen=True)
class Light:
    """What shines on a head, linear light. Directions are unit vectors toward the light, in world space.

    Attributes:
        up: [3] where the sky is. sky, ground: [3] radiance from there; between them it blends.
        lamps: [L, 3] directions; colours: [L, 3]. The first lamp casts shadows; softness: metres of their edges.
    """

    up: np.ndarray
    sky: np.ndarray
    ground: np.ndarray
    lamps: np.ndarray
    colours: np.ndarray
    softness: float


@dataclass(frozen=True)
class SyntheticCamera:
    """viewmat: [4, 4] world to camera (OpenCV). K: [3, 3] pixels."""

    viewmat: np.ndarray
    K: np.ndarray


def random_expression(rng: np.random.Generator) -> np.ndarray:
    """[52] weights 0..1: one prototype or a blend of two, uneven on the two sides, and a few free keys."""
    weights = np.zeros(len(ARKIT_NAMES))
    if rng.uniform() > AT_REST:
        picks = rng.choice(len(PROTOTYPES), 2, replace=False, p=ODDS)
        shares = rng.uniform(0.35, 1.0), rng.uniform(0, 0.7) * (rng.uniform() < 0.5)
        for pick, share in zip(picks, shares, strict=True):
            for name, weight in PROTOTYPES[pick].items():
                for key in _keys(name):
                    weights[key] += share * weight * rng.uniform(0.8, 1.15)
        free = rng.choice(len(weights), 3, replace=False)
        weights[free] += rng.uniform(0, 0.35, 3)
    weights += np.abs(rng.normal(0, 0.03, len(weights)))
    for name in ("eyeLook", "tongueOut", "mouthClose", "cheekPuff"):
        odd = [k for k, key in enumerate(ARKIT_NAMES) if key.startswith(name)]
        weights[odd] *= weights[odd] > 0.2  # odd as free keys
    gaze = [k for k, key in enumerate(ARKIT_NAMES) if key.startswith("eyeLook")]
    weights[gaze] = 0  # eyes turn by their joints
    close, jaw = ARKIT_NAMES.index("mouthClose"), ARKIT_NAMES.index("jawOpen")
    weights[close] = min(weights[close], weights[jaw])
    return np.clip(weights, 0, 1)


def _keys(name: str) -> list[int]:
    names = (name,) if name in ARKIT_NAMES else tuple(name + side for side in LEFT_RIGHT)
    return [ARKIT_NAMES.index(key) for key in names]


def random_pose(rng: np.random.Generator) -> np.ndarray:
    """[5, 3] axis-angle of the default head's joints: a head a little turned, a gaze, the jaw in its place (it moves
    by the key ``jawOpen``)."""
    rotations = np.zeros((len(JOINTS), 3))
    turn = np.clip(rng.normal(0, TURN), -2.2 * TURN, 2.2 * TURN)
    share = rng.uniform(0.3, 0.7)
    rotations[JOINTS.index("neck")], rotations[JOINTS.index("head")] = share * turn, (1 - share) * turn
    side, up = np.clip(rng.normal(0, GAZE[0]), -GAZE[1], GAZE[1])
    for name, sign in (("eyeLeft", -1), ("eyeRight", 1)):
        rotations[JOINTS.index(name)] = (-up, side + sign * rng.uniform(0, 0.03), 0)
    return rotations


def random_view(rng: np.random.Generator, middle: np.ndarray, size: int, frontal: bool) -> SyntheticCamera:
    """A camera around a head whose middle is at ``middle`` [3]; ``frontal`` ones stay within a third of the yaw."""
    wide = YAW / 3 if frontal else YAW
    yaw = rng.uniform(-wide, wide) if rng.uniform() < 0.6 else np.clip(rng.normal(0, 0.35 * wide), -wide, wide)
    pitch = np.clip(rng.normal(0.02, 0.35 * PITCH), -PITCH, PITCH)
    roll = np.clip(rng.normal(0, 0.3 * ROLL), -ROLL, ROLL)
    focal = size / (2 * np.tan(rng.uniform(*FIELD_OF_VIEW) / 2))
    distance = focal * HEAD_HEIGHT / (rng.uniform(*FILL) * size)
    return _aimed(yaw, pitch, roll, middle + rng.normal(0, 0.010, 3), distance, focal, size)


def view_from(yaw: float, pitch: float, middle: np.ndarray, size: int) -> SyntheticCamera:
    """An upright camera that looks at ``middle`` [3] metres from given radians, with the usual lens and distance."""
    focal = size / (2 * np.tan(np.mean(FIELD_OF_VIEW) / 2))
    return _aimed(yaw, pitch, 0.0, middle, focal * HEAD_HEIGHT / (np.mean(FILL) * size), focal, size)


def _aimed(
    yaw: float, pitch: float, roll: float, target: np.ndarray, distance: float, focal: float, size: int
) -> SyntheticCamera:
    toward = np.array([np.sin(yaw) * np.cos(pitch), np.sin(pitch), np.cos(yaw) * np.cos(pitch)])
    cos, sin = np.cos(roll), np.sin(roll)
    rotation = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]]) @ looking(toward)
    viewmat = np.eye(4)
    viewmat[:3, :3], viewmat[:3, 3] = rotation, -rotation @ (target + distance * toward)
    return SyntheticCamera(viewmat, np.array([[focal, 0, size / 2], [0, focal, size / 2], [0, 0, 1]]))


def random_light(rng: np.random.Generator) -> Light:
    """Soft daylight to one hard lamp, warm to cool; its strength gives white skin an average exposure."""
    hardness = rng.beta(1.5, 2.0)
    yaw, pitch = rng.uniform(-1.2, 1.2), rng.uniform(0.05, 1.0)
    key = np.array([np.sin(yaw) * np.cos(pitch), np.sin(pitch), np.cos(yaw) * np.cos(pitch)])
    side = yaw + rng.choice((-1, 1)) * rng.uniform(1.2, 2.8)
    rim = np.array([np.sin(side) * 0.9, rng.uniform(-0.1, 0.7), np.cos(side) * 0.9])
    up = np.array([rng.normal(0, 0.35), 1.0, rng.normal(0.3, 0.3)])
    level = rng.uniform(0.80, 1.10)
    colours = np.stack([level * (0.30 + 0.85 * hardness) * _warmth(rng), level * rng.uniform(0, 0.35) * _warmth(rng)])
    ambient = level * (0.95 - 0.60 * hardness)
    return Light(
        up / np.linalg.norm(up),
        ambient * _warmth(rng),
        ambient * rng.uniform(0.3, 0.75) * _warmth(rng),
        np.stack([key, rim / np.linalg.norm(rim)]),
        colours,
        float(rng.uniform(0.003, 0.012)),
    )


def _warmth(rng: np.random.Generator) -> np.ndarray:
    """[3] a tint between candle and sky, of unit mean."""
    warm = rng.normal(0, 0.07)
    tint = np.array([1 + warm, 1 + rng.normal(0, 0.015), 1 - warm])
    return tint / tint.mean()
