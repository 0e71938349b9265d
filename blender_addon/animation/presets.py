"""Ready-made expressions and visemes as weights of ARKit's keys.

``mouthClose`` closes the lips of an opened jaw, so it never exceeds ``jawOpen``: alone it would push the lips into
each other.
"""

from __future__ import annotations

from ..arkit import ARKIT_NAMES
from .groups import group_of


def _both(**weights: float) -> dict[str, float]:
    """Weights of keys that exist per side, given once for both sides."""
    return {f"{name}{side}": weight for name, weight in weights.items() for side in ("Left", "Right")}


EXPRESSIONS: dict[str, dict[str, float]] = {
    "neutral": {},
    "smile": _both(mouthSmile=0.75, mouthDimple=0.2, mouthUpperUp=0.12, cheekSquint=0.4, eyeSquint=0.3),
    "surprise": {"browInnerUp": 0.9, "jawOpen": 0.45, "mouthFunnel": 0.15} | _both(browOuterUp=0.8, eyeWide=0.75),
    "anger": {"mouthShrugLower": 0.2, "jawForward": 0.15}
    | _both(browDown=0.9, eyeSquint=0.45, noseSneer=0.45, mouthPress=0.45, mouthFrown=0.3),
    "sadness": {"browInnerUp": 0.85, "mouthShrugLower": 0.4}
    | _both(mouthFrown=0.65, browDown=0.15, eyeSquint=0.2, eyeBlink=0.15),
    "disgust": {"mouthShrugLower": 0.3}
    | _both(noseSneer=0.85, mouthUpperUp=0.5, browDown=0.45, eyeSquint=0.5, cheekSquint=0.4, mouthFrown=0.3),
    "fear": {"browInnerUp": 0.9, "jawOpen": 0.2}
    | _both(browOuterUp=0.35, browDown=0.25, eyeWide=0.9, mouthStretch=0.6, mouthLowerDown=0.25),
}

# The 15 sounds of Oculus' lip sync.
VISEMES: dict[str, dict[str, float]] = {
    "sil": {},
    "PP": {"jawOpen": 0.12, "mouthClose": 0.12, "mouthRollLower": 0.25, "mouthRollUpper": 0.25} | _both(mouthPress=0.5),
    "FF": {"jawOpen": 0.1, "mouthRollLower": 0.45, "mouthShrugLower": 0.15} | _both(mouthUpperUp=0.25),
    "TH": {"jawOpen": 0.18, "tongueOut": 0.35} | _both(mouthLowerDown=0.15, mouthUpperUp=0.1),
    "DD": {"jawOpen": 0.15} | _both(mouthLowerDown=0.2, mouthUpperUp=0.1, mouthStretch=0.1),
    "kk": {"jawOpen": 0.2} | _both(mouthLowerDown=0.15, mouthStretch=0.15),
    "CH": {"jawOpen": 0.1, "mouthFunnel": 0.55, "mouthPucker": 0.2} | _both(mouthLowerDown=0.15, mouthUpperUp=0.15),
    "SS": {"jawOpen": 0.05} | _both(mouthStretch=0.35, mouthLowerDown=0.3, mouthUpperUp=0.15, mouthSmile=0.15),
    "nn": {"jawOpen": 0.12} | _both(mouthLowerDown=0.12, mouthStretch=0.1),
    "RR": {"jawOpen": 0.15, "mouthFunnel": 0.3, "mouthPucker": 0.3},
    "aa": {"jawOpen": 0.6} | _both(mouthLowerDown=0.2, mouthUpperUp=0.1),
    "E": {"jawOpen": 0.3} | _both(mouthStretch=0.35, mouthSmile=0.25, mouthLowerDown=0.2),
    "I": {"jawOpen": 0.15} | _both(mouthSmile=0.45, mouthStretch=0.25, mouthLowerDown=0.15),
    "O": {"jawOpen": 0.35, "mouthFunnel": 0.6, "mouthPucker": 0.2},
    "U": {"jawOpen": 0.15, "mouthFunnel": 0.2, "mouthPucker": 0.75},
}

# A sound only moves what speaks, so that it can be laid over a smile of the eyes.
SPEAKING = frozenset(name for name in ARKIT_NAMES if group_of(name) in ("jaw", "mouth", "tongue"))


def preset_weights(preset: str) -> dict[str, float]:
    """All weights that a preset decides on, resting ones included as 0.

    Args:
        preset: a name of :data:`EXPRESSIONS` (decides on all 52 keys) or :data:`VISEMES` (jaw, mouth and tongue).

    Raises:
        KeyError: no such preset.
    """
    if preset in VISEMES:
        return dict.fromkeys(sorted(SPEAKING), 0.0) | VISEMES[preset]
    return dict.fromkeys(ARKIT_NAMES, 0.0) | EXPRESSIONS[preset]
