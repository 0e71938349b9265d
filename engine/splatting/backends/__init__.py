"""The rasteriser's backends: one module per device, chosen by :func:`engine.splatting.rasterization`."""
