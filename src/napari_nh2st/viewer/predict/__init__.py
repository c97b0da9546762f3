"""Choice of slide, model and region, and the prediction: the job, the live view, the tissue mask."""
