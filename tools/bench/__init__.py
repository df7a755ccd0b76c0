"""`bench`: contests between what we do and the same work done bare, as ratios inside one run."""
