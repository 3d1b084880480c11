"""Everything that serves a sub-tree: children, streams, depot, orders, status."""
