"""Photos and clips in, prepared head crops out."""

from engine.photos.check import Verdict, check_photo
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
    "Verdict",
    "check_photo",
    "clip_frames",
    "clip_length",
    "embed",
    "load_photos",
    "prepare",
]
