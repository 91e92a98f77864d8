"""The runs of another machine: a NeuroCore server, reached over its API."""
