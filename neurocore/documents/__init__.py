"""The documents that programs read: one type for each thing, printed by the command line and returned by the API.

`runs` has the types, `make` and `compare` make them from records, `run_state` determines the state of a run.
"""
