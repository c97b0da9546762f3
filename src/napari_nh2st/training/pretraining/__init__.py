"""The encoder, pretrained on tissue without labels."""
