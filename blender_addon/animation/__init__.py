"""Expressions, poses and animation of heads, as plain keyframes on shape keys and pose bones."""
