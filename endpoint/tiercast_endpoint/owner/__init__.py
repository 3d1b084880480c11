"""The owner's word: choices, wishes, messages, and his way to look on."""
