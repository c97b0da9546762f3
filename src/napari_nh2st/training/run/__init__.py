"""A run and its folder: checkpoints, metrics, requests, its process, the list of runs."""
