"""Several models on one slide: side by side, where they disagree, and which is right where."""
