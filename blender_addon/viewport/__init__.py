"""Shows and renders Gaussians where Blender does not do it natively."""
