"""Gates: what a person sees, what the answer was, what it leads to. `neurocore.runs.decide` decides."""
