"""The skills that come with NeuroCore; each is described in docs/skills.md."""
