"""Training and evaluation data: manifests of recordings."""
