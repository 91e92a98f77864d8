"""The checks of every request before a view handles it."""
