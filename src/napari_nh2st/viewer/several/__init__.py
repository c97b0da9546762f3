"""Several genes at once, and several slides side by side."""
