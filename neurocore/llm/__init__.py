"""The interface to language models: skills that require one get it as `self.llm`."""
