"""Measured spots of the slide beside its prediction."""
