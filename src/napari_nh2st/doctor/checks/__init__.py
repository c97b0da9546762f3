"""The checks, a module a subject. Each is a function that gives one finding, or None where it does not apply."""
