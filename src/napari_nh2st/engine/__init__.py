"""From a slide and a model to a prediction: what is encoded once answers at every place."""
