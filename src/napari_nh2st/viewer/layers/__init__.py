"""The napari layers that the plugin draws, and their frame."""
