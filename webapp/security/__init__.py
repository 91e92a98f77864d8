"""What stands between a request and what it asks for."""
