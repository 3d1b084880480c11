"""Machines that are woken for their jobs."""
