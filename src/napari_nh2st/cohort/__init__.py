"""Many slides at once: a task for each on workers of Dask, and what such a run leaves behind."""
