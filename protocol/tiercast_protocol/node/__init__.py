"""What every daemon is made of: links, stores, outbox and inbox, control socket, lifecycle, config, logs."""
