"""The napari layers that the plugin draws, and the frame they stand in."""
