"""Honest figures: what a model predicts against what was measured."""
