"""The trained parser: what it learns from, what is said to it, how it is calibrated, measured and loaded."""
