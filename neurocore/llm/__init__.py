"""The seam to language models: what skills that require one are given as `self.llm`."""
