"""Moving chunks over one hop: pure machines, no I/O, no clock."""
