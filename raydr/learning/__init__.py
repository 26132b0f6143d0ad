"""One worker's part of a stage that learns: settings, images and a context in, a model folder out; no Ray."""
