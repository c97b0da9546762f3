"""Choosing slide, model and region, and predicting there: the job, the live view, the tissue mask."""
