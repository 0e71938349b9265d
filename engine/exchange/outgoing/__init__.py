"""Which Gaussians of a head go to files for splat viewers: :func:`engine.exchange.outgoing.choosing.outgoing`."""
