"""Typed settings: frozen sections, unknown keys refused; loads without torch, Ray or MLflow."""
