"""What cells share: the port of their store, and what stands behind it. docs/cluster.md has the whole picture."""
