"""Shows and renders Gaussians where Blender does not do it natively."""

from . import changes, draw, preview


def register() -> None:
    changes.register()
    draw.register()


def unregister() -> None:
    preview.PREVIEW.stop()
    draw.unregister()
    changes.unregister()
