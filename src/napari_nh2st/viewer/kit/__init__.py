"""Small widgets and helpers of any dock: layout, text, tables, background work. They know no slide and no gene."""
