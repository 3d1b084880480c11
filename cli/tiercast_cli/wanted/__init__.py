"""What is wanted over time: rollouts, plans, assignments, and the desired state in one file."""
