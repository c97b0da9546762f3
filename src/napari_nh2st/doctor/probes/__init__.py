"""Probes, each a process of its own, because it may crash or never end: one module a probe."""
