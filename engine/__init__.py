"""Gaussian Heads' engine: portrait photos in, an animatable 3D Gaussian head out."""

from engine import bootstrap

__version__ = "0.1.0"

bootstrap.prepare()
