"""Patches: what they are, for which versions they are made, and the cheapest way to a new one."""
