"""The fine-tune dock: sections, settings, the run queue, curves and results."""
