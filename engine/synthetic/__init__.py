"""Synthetic heads: endless random people of the default head model, rendered with exact ground truth."""
