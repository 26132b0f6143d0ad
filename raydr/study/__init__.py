"""A study's cells as tasks of Ray."""
