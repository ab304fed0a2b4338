"""Model files: what they hold, where they come from, what their outputs mean."""
