"""What machines are and have: kept, asked, and its history."""
