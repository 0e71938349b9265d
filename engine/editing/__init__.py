"""Head editing on avatars of one head model: interpolate two, replace regions, transfer an expression.

middle = interpolate(anna, ben, 0.5).avatar
mouth = replace_region(anna, ben, ["lips", "mouth_interior", "teeth"]).avatar
smiling = transfer(anna, with_expression(ben, {"mouthSmileLeft": 1, "mouthSmileRight": 1}), ben).avatar
"""

from engine.editing.blending import BORDER, interpolate, replace_region
from engine.editing.edited import Edited
from engine.editing.transfer import transfer, with_expression

__all__ = ["BORDER", "Edited", "with_expression", "interpolate", "replace_region", "transfer"]
