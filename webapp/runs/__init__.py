"""Runs: their list, the page of one run, its steps, what a person does to it."""
