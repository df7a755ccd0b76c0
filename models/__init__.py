"""Models: towers, the objectives that train them, the trainer, and what says what was learned."""
