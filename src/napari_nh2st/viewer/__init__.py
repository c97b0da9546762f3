"""The napari side: reader, writer, sample data, layers and docks. Qt and napari appear nowhere else."""
