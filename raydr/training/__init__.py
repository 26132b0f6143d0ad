"""Ray Train: the engine's loops on any number of workers."""
