"""Gaussians bound to a mesh: what they are, how they follow it, what moves them beyond it."""
