"""The sidebar tab "Gaussian Heads": one file per panel."""
