"""Drawn regions, domains, and the genes that differ between them."""
