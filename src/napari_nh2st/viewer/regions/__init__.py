"""Regions that are drawn, domains that are found, and the genes that differ between them."""
