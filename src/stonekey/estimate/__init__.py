"""From a recording to its key."""
