"""Predictions as people use them in Python: with tables, pictures and files."""
