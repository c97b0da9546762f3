"""A report of one slide: maps, trust, regions and origin of a prediction, as one HTML file or a PDF.

Only the comparison with the training tissue loads torch.
"""
