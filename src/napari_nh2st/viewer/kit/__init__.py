"""Small widgets and helpers for any dock: layout, text, tables, background work. They know no slide and no gene."""
