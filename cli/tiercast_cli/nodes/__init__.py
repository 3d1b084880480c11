"""Machines: who belongs to the region, how they come, move and sleep, groups, inventories, owners."""
