"""Whose word counts: keys, credentials, how a node joins, and whom it believes as its parent."""
