"""A head as textured meshes: the Gaussians' colours baked into pictures, hair and clothes as geometry."""
