"""``python -m engine.heads``: build the default head ahead of its first use."""

from engine.heads import load_head

if __name__ == "__main__":
    load_head()
