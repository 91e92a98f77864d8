"""Who acts (`actor`), and what they may do (`permission`)."""
