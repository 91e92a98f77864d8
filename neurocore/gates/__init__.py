"""Gates: what a person sees, what was answered, and what follows. `neurocore.runs.decide` decides them."""
