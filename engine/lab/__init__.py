"""The laboratory: what tries the product. Nothing in the product imports it."""
