"""Figures of merit with their uncertainty: pure NumPy, no cluster, no tracker."""
