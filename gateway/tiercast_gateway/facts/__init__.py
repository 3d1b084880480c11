"""What the machines below are and have, merged."""
