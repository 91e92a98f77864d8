"""The workflow: its model, its loader and checks, its plan, and what runs next.

Public at `neurocore.runtime.blueprint`.
"""
