"""The depot: what is held for those below, proved, repaired, and let go."""
