"""Sets aside photos that would spoil the others: another person, or far too blurred."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from engine.photos.photo import Photo, PhotoSet, SetAside

SAME_PERSON = 0.35  # SFace cosine; on the sample photos one person agrees at 0.47 and more, two at 0.25 and less
BLURRED = 0.15  # of the sharpest photo's sharpness


def set_aside_outliers(photos: Sequence[Photo]) -> PhotoSet:
    """Keep the photos that show one person sharply.

    The person is the one whom most photos show; among equals, the first photo's. A photo is too blurred only in
    comparison: the sharpest one always stays.

    Args:
        photos: in the order given by the user, at least one.
    """
    embeddings = np.stack([photo.embedding for photo in photos])
    similarity = embeddings @ embeddings.T
    agreeing = (similarity >= SAME_PERSON).sum(1)
    medoid = int(np.argmax(agreeing + similarity.mean(1) / 2))  # the mean decides among equally many
    if len(photos) == 2:
        medoid = 0
    to_medoid = similarity[medoid]
    same = to_medoid >= SAME_PERSON
    others = [to_medoid[i] for i in np.flatnonzero(same) if i != medoid]
    agreement = f"the others agree at {np.median(others):.2f}" if others else f"{photos[medoid].name} is kept"
    sharpest = max(photo.sharpness for photo, kept in zip(photos, same, strict=True) if kept)

    kept: list[Photo] = []
    set_aside: list[SetAside] = []
    for i, photo in enumerate(photos):
        if not same[i]:
            reason = (
                f"{photo.name} shows another person (similarity {to_medoid[i]:.2f}; {agreement}). "
                "Remove it or reconstruct it on its own."
            )
        elif photo.sharpness < BLURRED * sharpest:
            reason = (
                f"{photo.name} is too blurred to help (sharpness {photo.sharpness:.3f}; the sharpest has "
                f"{sharpest:.3f}). Replace it by a sharper one."
            )
        else:
            kept.append(photo)
            continue
        set_aside.append(SetAside(photo.name, reason))
    return PhotoSet(tuple(kept), tuple(set_aside))
