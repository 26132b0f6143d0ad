"""What feeding a fleet of GPUs takes: pure arithmetic."""
