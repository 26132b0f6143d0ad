"""MLflow: runs, and models with their registry. The only package that imports MLflow, and only when it is used."""
