"""What the tests of this folder have in common."""

from mathutils import Matrix

SIZE = (320, 260)  # of the pictures


def pose(head):
    """A face and a place that no symmetry makes right by chance."""
    head.keys["jawOpen"].value = 0.6
    head.keys["mouthSmileLeft"].value = 0.7
    head.keys["browInnerUp"].value = 0.5
    for bone, turn in (("neck", (0.1, 0.2, 0.05)), ("head", (-0.15, 0.3, 0.1)), ("eyeLeft", (0.1, 0.2, 0.0))):
        head.armature.pose.bones[bone].rotation_euler = turn
    turned = Matrix.Translation((0.05, 0.1, -0.02)) @ Matrix.Rotation(0.4, 4, "Z")
    head.root.matrix_world = turned @ Matrix.Scale(1.3, 4)
