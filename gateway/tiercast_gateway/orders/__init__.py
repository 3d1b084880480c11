"""Orders on their way down, and what came of them on its way up."""
