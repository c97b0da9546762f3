"""Checks of an installation, a display, a slide, a model and a run, with a mend for each fault."""
