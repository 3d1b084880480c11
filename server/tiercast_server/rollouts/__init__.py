"""Rollouts: jobs in waves with gates and breakers, undone in reverse; sets that switch together."""
