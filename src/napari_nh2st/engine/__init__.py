"""From a slide and a model to a prediction: tissue is encoded once, and then answers at every place."""
