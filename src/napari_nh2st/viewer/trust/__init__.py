"""How far to trust a gene: held-out figures, tissue unlike the training, the spread of answers."""
