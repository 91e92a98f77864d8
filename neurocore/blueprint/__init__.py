"""The workflow: its model, how it is read and checked, its plan, and what is next.

Public at `neurocore.runtime.blueprint`.
"""
