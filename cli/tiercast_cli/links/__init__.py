"""Links between parents and children, and the books of what went over them."""
