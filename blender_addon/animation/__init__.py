"""Brings heads to life: capture, presets, poses, baking, and expressions carried from one head to another."""
