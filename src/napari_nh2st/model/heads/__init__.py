"""Heads: they look at embeddings and give a hidden vector, from which genes are decoded. One file and one row each."""
