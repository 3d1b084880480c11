"""What machines are to have or to lack for good: assignments, their document, and what is done about differences."""
