"""Starts the engine's process and talks to it. Plain Python: nothing in here knows of Blender."""
