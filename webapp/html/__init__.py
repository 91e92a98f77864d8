"""Values, times and small parts of pages as HTML."""
