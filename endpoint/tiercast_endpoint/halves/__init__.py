"""Two halves: one that fetches, and one that installs as root."""
