"""The dock's state without a window: slide, model, map, gene, style; the services, the remembered choices."""
