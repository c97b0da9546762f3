"""The network module: where it starts from, how it is trained, what a finished network answers in."""
