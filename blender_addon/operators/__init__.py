"""What the buttons do: one file per panel. Operators only read arguments, call the parts below and report."""
