"""The sandbox in which templates are rendered: plain data, methods and filters by a list, and bounded work."""
