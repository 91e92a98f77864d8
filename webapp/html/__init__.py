"""Values, times and small pieces of pages as HTML."""
