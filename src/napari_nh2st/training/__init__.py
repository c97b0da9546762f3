"""Fine-tuning on measured sections."""
