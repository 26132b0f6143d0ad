"""One use case a file: settings in, a frozen result out; the only place where Ray, MLflow and the engine meet."""
