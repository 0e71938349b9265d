"""The five networks as systems of the pipeline: what each needs of photos, and the way from its answer to the rig."""
