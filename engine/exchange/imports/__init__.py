"""Files that heads come from: every module of this package is one kind, and says what it is in its ``SPEC``."""
