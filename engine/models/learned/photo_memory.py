"""What is kept of a person beside the avatar, so that photos can be added later without the old ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save
from scipy.spatial.transform import Rotation

from engine.atomic import atomic_write
from engine.errors import AvatarError
from engine.heads.parametric import ParametricHead
from engine.heads.rig import make_rig
from engine.models.kit.memory import TokenMemory
from engine.models.learned.posed_images import PaintedTexture, put_on
from engine.models.surface import Painted
from engine.models.surface.lighting import GAIN_LIMITS
from engine.photos.photo import Photo
from engine.tensor_files import UNREADABLE, describe, read_about
from engine.tracking import Subject, drive_landmarks
from engine.tracking.solver import EYES, LIPS, TO_CAMERA, landmark_model
from engine.tracking.tracked import Tracked, View

SUFFIX = ".memory"
LARGEST = 1 << 30  # bytes; hundreds of photos of any preset stay below
SQUARELY = 0.9  # of being seen
ALIKE = 200  # texels that both textures show squarely, from which their exposures are compared
MADE_UP = 0.05  # weight of a texel that no photo shows, so that they pass into each other without a seam
SHARES = ("colors", "seen", "presence")  # of a texture, 0..1, kept in bytes
KNOWN = ("neutral", "joints", "identity", "viewmat", "K", "expression", "joint_rotations", "embeddings", "tokens")


@dataclass(frozen=True)
class PhotoMemory:
    """One person after P photos, as FFAvatar's incremental memory needs them (arXiv 2606.30347; ours but for tokens).

    Attributes:
        tokens: of all P photos.
        tracked: the bald head, with the one view that the torso's rest pose is taken from, and no residuals.
        focal: px per px of a photo's longer side.
        texture: all photos on the head, at the texels of about ``count`` Gaussians.
        photos: (name, sha256) of each. embeddings: [P, 128] float32, who they show.
    """

    tokens: TokenMemory
    tracked: Tracked
    focal: float
    texture: PaintedTexture
    count: int
    photos: tuple[tuple[str, str], ...]
    embeddings: torch.Tensor

    @property
    def neutral(self) -> np.ndarray:
        """[V, 3] metres, the head's mesh at rest."""
        return self.texture.neutral.numpy()

    @staticmethod
    def of(
        tokens: TokenMemory, tracked: Tracked, texture: PaintedTexture, count: int, photos: Sequence[Photo]
    ) -> PhotoMemory:
        """After the first photos."""
        sides = [float(photo.size.max()) for photo in photos]
        focal = np.median([view.K[0, 0] / side for view, side in zip(tracked.views, sides, strict=True)])
        person = replace(tracked, views=tracked.views[:1], residuals=())
        return PhotoMemory(tokens, person, float(focal), texture, count, _named(photos), _faces(photos))

    def extended(self, tokens: TokenMemory, texture: PaintedTexture, photos: Sequence[Photo]) -> PhotoMemory:
        """After more photos. Args: tokens, texture: of all photos. photos: the new ones."""
        embeddings = torch.cat((self.embeddings, _faces(photos)))
        return replace(self, tokens=tokens, texture=texture, photos=self.photos + _named(photos), embeddings=embeddings)

    def place(self, photos: Sequence[Photo], head: ParametricHead) -> Tracked:
        """The known person in new photos, found by landmarks; what tracking would hand on for these photos."""
        known = self.tracked
        landmarks = landmark_model(head, known.neutral)
        person = Subject(head, landmarks, known.joints, known.views[0], self.focal)
        views = tuple(drive_landmarks(person, photo) for photo in photos)
        rig = make_rig(head, known.neutral, known.joints)
        corners, rows = head.faces[head.landmark_triangles], []
        for photo, view in zip(photos, views, strict=True):
            rotations = torch.from_numpy(view.joint_rotations).float()
            vertices = rig.deform(torch.from_numpy(view.expression).float(), rotations).double().numpy()
            points = np.einsum("nkc,nk->nc", vertices[corners], head.landmark_barycentrics)
            pixels = (points @ view.viewmat[:3, :3].T + view.viewmat[:3, 3]) @ view.K.T
            distance = np.linalg.norm(pixels[:, :2] / pixels[:, 2:] - photo.landmarks[:, :2], axis=1)
            turn = view.viewmat[:3, :3] @ rig.head_transform(rotations)[:3, :3].double().numpy()
            yaw, pitch, _ = Rotation.from_matrix(TO_CAMERA @ turn).as_euler("YXZ", degrees=True)
            face, lips, eyes = (float(distance[list(part)].mean()) for part in (range(468), LIPS, EYES))
            rows.append((photo.name, face, lips, eyes, float(view.K[0, 0]), float(yaw), float(pitch)))
        return replace(known, views=views, residuals=tuple(rows))

    def save(self, path: Path) -> None:
        """Write one safetensors file; :meth:`TokenMemory.load` finds its part there, too.

        Raises:
            OutputError: the file cannot be written.
        """
        tracked, view = self.tracked, self.tracked.views[0]
        arrays = {name: getattr(tracked, name) for name in ("neutral", "joints", "identity")}
        arrays |= {name: getattr(view, name) for name in ("viewmat", "K", "expression", "joint_rotations")}
        tensors = {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in arrays.items()}
        tensors |= {name: (255 * getattr(self.texture, name).clamp(0, 1)).round().byte() for name in SHARES}
        tensors |= {"inflated": self.texture.neutral, "embeddings": self.embeddings, "tokens": self.tokens.tokens}
        about = {"focal": self.focal, "count": self.count, "photos": self.photos, "source": view.name}
        memory = describe(rows=self.tokens.rows, weights=self.tokens.weights)
        parts = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
        data = save(parts, {"memory": memory, "person": describe(**about)})
        with atomic_write(path) as temporary:
            temporary.write_bytes(data)

    @staticmethod
    def load(path: Path) -> PhotoMemory:
        """Read a file that :meth:`save` wrote.

        Raises:
            AvatarError: it is missing, too large, damaged or something else.
        """
        if not path.is_file():
            raise AvatarError(
                f"{path.name} is not there: nothing was kept of this head's photos.",
                "Keep it beside the avatar, or reconstruct the head from all its photos with ffavatar.",
            )
        if path.stat().st_size > LARGEST:
            raise AvatarError(f"{path.name} is too large for a head's memory.", "Choose another head.")
        tokens = TokenMemory.load(path)
        try:
            with safe_open(path, framework="pt") as file:
                about = read_about(file, "person", path.name, AvatarError)
                found = {name: file.get_tensor(name) for name in (*KNOWN, *SHARES, "inflated")}
            photos = tuple((str(name), str(sha256)) for name, sha256 in about["photos"])
            focal, count, source = float(about["focal"]), int(about["count"]), str(about["source"])
        except UNREADABLE as error:
            raise _damaged(path) from error
        if not _sound(found, len(photos)) or not (0.1 < focal < 100 and 1_000 <= count <= 2_000_000):
            raise _damaged(path)
        arrays = {name: found[name].numpy() for name in KNOWN}
        place = arrays["viewmat"], arrays["K"], arrays["expression"], arrays["joint_rotations"]
        view = View(source, *place, residual=0.0)
        tracked = Tracked(arrays["identity"], arrays["neutral"], arrays["joints"], (view,), ())
        texture = PaintedTexture(found["inflated"], *(found[name].float() / 255 for name in SHARES))
        return PhotoMemory(tokens, tracked, focal, texture, count, photos, found["embeddings"])


def lay_over(known: PaintedTexture, painted: Painted, head: ParametricHead) -> Painted:
    """New photos' paint together with what was painted before on the same texels (ours).

    Colours are weighted by ``seen``, after the new photos' exposure was matched to the old ones'. The bust stays as it
    was, but for the neck's colour: how the torso is held in the new photos is only guessed.

    Args:
        painted: the new photos on the same rig.
    """
    fresh = put_on(painted)
    both = (known.seen > SQUARELY) & (fresh.seen > SQUARELY)
    exposure = torch.ones(3)
    if both.sum() > ALIKE:
        ratio = fresh.colors[both].clamp_min(0.02) / known.colors[both].clamp_min(0.02)
        exposure = ratio.median(dim=0).values.clamp(*GAIN_LIMITS)
    torso = torch.from_numpy(painted.texels.member(head, "torso"))
    bust = torch.from_numpy(painted.texels.member(head, "torso", "neck"))
    seen = fresh.seen * ~torso
    old, new = known.seen + MADE_UP, torch.where(torso, 0.0, seen + MADE_UP)
    colors = old[:, None] * known.colors + new[:, None] * (fresh.colors / exposure).clamp(0, 1)
    presence = torch.where(bust, known.presence, torch.minimum(known.presence, fresh.presence))
    lights = painted.shoot.lights.copy()
    lights[:, 0] += exposure.log().numpy()
    shoot = replace(painted.shoot, lights=lights)
    texture = replace(painted.texture, seen=torch.maximum(known.seen, seen).numpy())
    colors = (colors / (old + new)[:, None]).numpy()
    return replace(painted, texture=texture, colors=colors, presence=presence.numpy(), shoot=shoot)


def _sound(found: dict[str, torch.Tensor], photos: int) -> bool:
    """Whether shapes agree with one another and all numbers are finite."""
    vertices, joints, texels = (len(found[name]) if found[name].ndim else 0 for name in ("neutral", "joints", "seen"))
    shapes: dict[str, tuple[int, ...]] = {
        "neutral": (vertices, 3), "inflated": (vertices, 3), "joints": (joints, 3), "joint_rotations": (joints, 3),
        "viewmat": (4, 4), "K": (3, 3), "colors": (texels, 3), "seen": (texels,), "presence": (texels,),
        "embeddings": (photos, 128),
    }  # fmt: skip
    floats = [name for name in found if name not in SHARES]
    return (
        photos > 0
        and all(found[name].shape == shape for name, shape in shapes.items())
        and found["tokens"].shape[:2] == (1, photos)
        and all(found[name].dtype == torch.uint8 for name in SHARES)
        and all(found[name].is_floating_point() and bool(torch.isfinite(found[name]).all()) for name in floats)
    )


def _named(photos: Sequence[Photo]) -> tuple[tuple[str, str], ...]:
    return tuple((photo.name, photo.sha256) for photo in photos)


def _faces(photos: Sequence[Photo]) -> torch.Tensor:
    return torch.from_numpy(np.stack([photo.embedding for photo in photos]).astype(np.float32))


def _damaged(path: Path) -> AvatarError:
    return AvatarError(
        f"{path.name} is no head's memory, or a damaged one.", "Reconstruct the head from all its photos again."
    )
