"""Objectives: further losses of a training, beside the squared error. One file and one row each."""
