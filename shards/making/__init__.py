"""From one source to its samples."""
