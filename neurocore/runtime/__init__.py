"""The verbs (`executor`), the durable loop, and what a run needs while it is driven."""
