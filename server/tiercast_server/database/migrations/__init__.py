"""Alembic's folder: `env.py` and one file per schema step in `versions`."""
