"""Trees: written, verified, switched, mended, and used as sources of chunks."""
