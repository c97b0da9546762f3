"""The context inspector: what a tile's neighbours change in its prediction."""
