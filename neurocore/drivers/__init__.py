"""What carries out runs in this process: dispatchers, the sweep, and the service that keeps it going."""
