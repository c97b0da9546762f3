"""Choosing the gene that is shown: the search, the list, limits and colours, the value under the cursor."""
