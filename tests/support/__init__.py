"""What several tests build upon."""
