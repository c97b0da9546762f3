"""Procedural H&E-like tissue with known expression of invented genes, and the models trained on it."""
