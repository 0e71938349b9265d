"""From tracked photos to Gaussians: painting, parts that are drawn, and the published networks."""
