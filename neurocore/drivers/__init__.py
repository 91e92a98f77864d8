"""What drives runs in this process: dispatchers, the sweep, and the service that repeats it."""
