"""What every claim stands beside: each baseline is one file here and one line in this table."""
