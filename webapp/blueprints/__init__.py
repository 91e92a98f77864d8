"""Blueprints: their runs, their flow picture, and the form that starts a run."""
