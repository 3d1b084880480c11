"""What machines are and have, and what can be asked of it: inventories, conditions, orders of versions."""
