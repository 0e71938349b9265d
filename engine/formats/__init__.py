"""Files: the avatar, and what splat viewers read."""
