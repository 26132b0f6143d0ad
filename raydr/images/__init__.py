"""Fundus photographs: bytes in, one square picture of the retina out."""
