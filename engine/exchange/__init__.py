"""Heads out of the engine and into it, in the formats of other programs."""
