"""What meets a hostile file."""
