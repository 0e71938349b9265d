"""Shows and renders Gaussians where Blender does not do it natively."""

from . import draw, preview


def register() -> None:
    draw.register()


def unregister() -> None:
    preview.PREVIEW.stop()
    draw.unregister()
