"""Measuring: likeness on clips, synthetic people against their truth, looks, performances."""
