"""The current gene: the search, the list, limits and colours, the value under the mouse."""
