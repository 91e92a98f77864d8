"""The verbs: start, resume, decide, cancel, delete, replay, adopt. Faces call these and nothing below them.

Each verb takes an `actor`, or the name that somebody claims, and asks `neurocore.access.permission` whether the actor
may do it. An error is one of `neurocore.errors`, whose sentence says what to do.
"""
