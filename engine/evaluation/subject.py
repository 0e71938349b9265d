"""A reconstructed avatar as the evaluation drives it, and the networks that measure it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from engine import tracking
from engine.avatar import Avatar
from engine.device import moved
from engine.evaluation.reenactment import Instruments, Sighting
from engine.landmarker import detect_faces
from engine.perceptual import LPIPS
from engine.photos.identity import embed
from engine.photos.photo import Photo, PhotoSet
from engine.pipeline import Options, reconstruct_photos, source_view
from engine.progress import Progress
from engine.rendering import Picture, crop_view, render_view
from engine.tracking.photometric import FinishedHead, drive_photometric
from engine.tracking.tracked import View


@dataclass(frozen=True)
class AvatarSubject:
    """A finished avatar, on the device that made it, with what tracking knows about its person.

    Attributes:
        avatar: what is rendered. person: for the landmark drive. look: for the photometric drive.
        source_views: the source photos' own views, in their order.
    """

    avatar: Avatar
    person: tracking.Subject
    look: FinishedHead
    source_views: Sequence[View]

    def drive_landmarks(self, photo: Photo) -> View:
        """The avatar's pose and expression in another photo, from its landmarks alone."""
        return tracking.drive_landmarks(self.person, photo)

    def drive_photometric(self, photo: Photo, start: View) -> View:
        """The same, polished against the photo's pixels."""
        return drive_photometric(self.look, photo, start)

    def picture(self, view: View) -> Picture:
        """The avatar in a view, over the inner crop of that photo's window."""
        return render_view(self.avatar, crop_view(source_view(view)))


def reconstruct_subject(sources: Sequence[Photo], options: Options, progress: Progress) -> AvatarSubject:
    """Run the product's pipeline on the source photos, and on nothing else."""
    made = reconstruct_photos(PhotoSet(tuple(sources)), "evaluated", options, progress)
    return AvatarSubject(
        moved(made.avatar, made.device.torch),
        tracking.subject(made.tracked, made.head, made.photos),
        moved(FinishedHead(made.model.rig, made.model.gaussians, made.head), made.device.torch),
        made.tracked.views,
    )


def make_instruments() -> Instruments:
    """LPIPS-AlexNet, MediaPipe's landmarks and SFace's embedding.

    Raises:
        AssetError: their files have not been fetched.
    """
    return Instruments(LPIPS(), sight)


def sight(image: np.ndarray) -> Sighting | None:
    """The largest face in [H, W, 3] uint8, or None."""
    faces = detect_faces(image)
    if not faces:
        return None
    landmarks = max(faces, key=lambda face: face.height).landmarks[:, :2]
    return Sighting(landmarks, embed(image, landmarks))
