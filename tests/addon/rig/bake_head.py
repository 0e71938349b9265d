"""What the engine bakes of an avatar; run with the engine's Python: AVATAR OUT.zip."""

import sys
from pathlib import Path

from engine.avatar import load
from engine.baking.bake import bake
from engine.baking.file import write_baked

write_baked(bake(load(sys.argv[1]), 256), Path(sys.argv[2]))
