"""Who is below: enrolled, present, guests, moved, and in which groups."""
