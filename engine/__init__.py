"""Gaussian Heads' engine: portrait photos in, an animatable 3D Gaussian head out."""

__version__ = "0.1.0"
