"""Training and scoring with torch and torch.distributed alone: no Ray, no MLflow, no settings object."""
