"""What a package is: digests, chunks, definition, manifest, orders, receipts, keys.  Pure (CPU, no I/O)."""
