"""Files that hold more of a head than its Gaussians: every module is one format, and says so in its ``SPEC``."""
