"""What goes on while the artist works: timers on Blender's main thread that follow the engine's own threads."""
