"""Runs: the list, the page of one run, its steps, and the actions on it."""
