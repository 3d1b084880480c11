"""What a package says: its definition, actions, checks, variables and file groups."""
