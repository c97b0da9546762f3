"""The time and memory that a run will take on this machine."""
