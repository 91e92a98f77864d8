"""Signing in and out, one's own account, and for admins everybody's."""
