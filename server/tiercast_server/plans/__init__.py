"""Plans: jobs that follow one another, for all targets or for each by itself."""
