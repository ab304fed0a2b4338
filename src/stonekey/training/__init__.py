"""Training: configuration, schedules, the loop, scores and checkpoints."""
