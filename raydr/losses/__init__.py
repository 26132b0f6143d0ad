"""What the networks are trained to make small: functions of logits and embeddings, no cluster, no settings."""
