"""The verbs (`executor`), the one durable loop, claims, dispatchers and the sweep."""
