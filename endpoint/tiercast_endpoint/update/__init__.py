"""The agent's own package: tried out, and taken back where it proves no good."""
