"""The engine as a server on loopback: jobs, resident heads, previews. Started by ``python -m engine serve``."""
