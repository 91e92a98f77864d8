"""The skills that come with NeuroCore; docs/skills.md describes each."""
