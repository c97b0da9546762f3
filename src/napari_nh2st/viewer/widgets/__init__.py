"""The docks, and the small widgets that they are made of."""
