"""Sets aside photos that would spoil the others: another person, or far too blurred."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from engine.photos.photo import Photo, PhotoSet, SetAside

SAME_PERSON = 0.35  # SFace cosine; on the sample photos one person agrees at 0.50 and more, two at 0.29 and less
# Of the person's photos' median sharpness. Sharp sample photos differ by a factor of 4 at most; a blur whose sigma is
# 1.5 % of the face's height costs a factor of 20.
BLURRED = 0.2


def set_aside_outliers(photos: Sequence[Photo]) -> PhotoSet:
    """Keep the photos that show one person sharply.

    The person is the one whom most photos show; among equals, the first photo's. A photo is too blurred only in
    comparison with the person's others.

    Args:
        photos: in the order given by the user, at least one.
    """
    embeddings = np.stack([photo.embedding for photo in photos])
    similarity = embeddings @ embeddings.T
    agreeing = (similarity >= SAME_PERSON).sum(1)
    most = np.flatnonzero(agreeing == agreeing.max())
    medoid = int(most[np.argmax(similarity[most].mean(1).round(3))])  # rounded, so that the first of equals is taken
    to_medoid = similarity[medoid]
    same = to_medoid >= SAME_PERSON
    others = [to_medoid[i] for i in np.flatnonzero(same) if i != medoid]
    agreement = f"the others agree at {np.median(others):.2f}" if others else f"{photos[medoid].name} is kept"
    usual = float(np.median([photo.sharpness for photo, kept in zip(photos, same, strict=True) if kept]))

    kept: list[Photo] = []
    set_aside: list[SetAside] = []
    for i, photo in enumerate(photos):
        if not same[i]:
            reason = (
                f"{photo.name} shows another person (similarity {to_medoid[i]:.2f}; {agreement}). "
                "Remove it or reconstruct it on its own."
            )
        elif photo.sharpness < BLURRED * usual:
            reason = (
                f"{photo.name} is too blurred to help (sharpness {photo.sharpness:.3f}; usual here is "
                f"{usual:.3f}). Replace it by a sharper one."
            )
        else:
            kept.append(photo)
            continue
        set_aside.append(SetAside(photo.name, reason))
    return PhotoSet(tuple(kept), tuple(set_aside))
