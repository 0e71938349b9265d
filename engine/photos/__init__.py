"""Photos and clips in, prepared head crops out."""

from engine.photos.clips import clip_frames, clip_length
from engine.photos.identity import embed
from engine.photos.load import load_photos
from engine.photos.photo import CROP, MARGIN, WINDOW, Photo, PhotoSet, SetAside
from engine.photos.preparation import prepare

__all__ = [
    "CROP",
    "MARGIN",
    "WINDOW",
    "Photo",
    "PhotoSet",
    "SetAside",
    "clip_frames",
    "clip_length",
    "embed",
    "load_photos",
    "prepare",
]
