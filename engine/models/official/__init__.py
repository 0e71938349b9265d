"""Weights that a user has: what is in a file, what it needs, and UIKA's official ones from photos to Gaussians."""
