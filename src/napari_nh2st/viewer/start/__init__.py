"""The beginning: what an empty dock offers, and the tour."""
