"""`tiercast job`: jobs of every type, drafts, files, ends, and why they wait."""
