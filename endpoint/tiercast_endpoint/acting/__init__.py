"""A package's ordered actions on this machine (docs/actions.md)."""
