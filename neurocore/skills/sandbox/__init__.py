"""The sandbox for templates: plain data, listed methods and filters, and limited work."""
