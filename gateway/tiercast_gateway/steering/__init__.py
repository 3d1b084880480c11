"""Steering: terms, budgets and suspensions of transfers."""
