"""Writes ``mediapipe.npz``: what MediaPipe itself says of the sample photos.

Run it in an environment of its own that has mediapipe 1.2.2 and pillow, since mediapipe brings another OpenCV:

    python tests/engine/landmarker/reference.py engine/assets/files
"""

import sys
from pathlib import Path

import mediapipe
import numpy as np
from mediapipe.tasks.python import BaseOptions, vision
from PIL import Image

PHOTOS = ("astronaut.png", "person_a_1.jpg", "person_a_2.jpg", "person_b_1.jpg", "person_b_2.jpg")


def main(files: Path) -> None:
    options = vision.FaceLandmarkerOptions(
        base_options=BaseOptions(model_asset_path=str(files / "face_landmarker.task")),
        output_face_blendshapes=True,
        output_facial_transformation_matrixes=True,
    )
    said = {}
    with vision.FaceLandmarker.create_from_options(options) as landmarker:
        for name in PHOTOS:
            pixels = np.ascontiguousarray(Image.open(files / "samples" / name).convert("RGB"))
            result = landmarker.detect(mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=pixels))
            height, width = pixels.shape[:2]
            points = np.array([(p.x, p.y, p.z) for p in result.face_landmarks[0]]) * (width, height, width)
            said[f"{name} landmarks"] = points.astype(np.float32)
            said[f"{name} scores"] = np.array([shape.score for shape in result.face_blendshapes[0]], np.float32)
            said[f"{name} pose"] = np.asarray(result.facial_transformation_matrixes[0], np.float32)
            said["names"] = np.array([shape.category_name for shape in result.face_blendshapes[0]])
    np.savez_compressed(Path(__file__).with_name("mediapipe.npz"), **said)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
