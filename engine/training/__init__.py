"""Training of the learned systems: ``python -m engine train``."""
