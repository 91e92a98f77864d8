"""The verbs about people: sign in and out, accounts, roles, sessions, tokens. They need a store that keeps accounts."""
