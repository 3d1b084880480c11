"""What may be said: options of many commands, lengths, times, terms, targets."""
