"""The documents that programs read: one shape for each thing, printed by the command line and answered by the API.

`runs` has the types, `make` and `compare` make them from records, `standing` says who moves a run on.
"""
