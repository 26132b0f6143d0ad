"""raydr turns fundus photographs and a few labels into a validated diabetic-retinopathy classifier."""

__version__ = "0.1.0"
