"""Jobs: what an administrator wants, checked, ordered, counted and shown."""
