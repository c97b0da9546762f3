"""Questions to a prediction: how genes vary over the slide, regions, domains, signatures, context, trust."""
