"""Chunk stores: get, has, put over digests, and wrappers that compose."""
