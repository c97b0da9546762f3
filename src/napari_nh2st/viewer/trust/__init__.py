"""Trust in a gene: held-out figures, tissue unlike the training tissue, the spread of answers."""
