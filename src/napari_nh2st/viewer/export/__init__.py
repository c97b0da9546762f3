"""Files, figures, saved views, and the command or Python that repeats what is on screen."""
