"""Training steps, one method a file."""
