"""The data module: windows of tissue and embedded spots, in batches."""
