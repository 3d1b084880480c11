"""Nodes: who belongs to the region, where each is, and how it came there."""
