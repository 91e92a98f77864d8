"""Blueprints: their runs, their picture, and starting one from a form."""
