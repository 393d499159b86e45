"""What a client really sends, told by its bytes."""
