"""Networks: float images in [0, 1] in, features or logits out; each normalises for itself."""
