"""A measurement of the slide beside its prediction."""
