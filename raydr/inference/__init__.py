"""A trained model on photographs: Ray Data decodes, a pool of actors holds the network."""
