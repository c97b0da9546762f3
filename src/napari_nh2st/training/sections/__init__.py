"""Measured sections: checked before a run, loaded, and what of them is held out."""
