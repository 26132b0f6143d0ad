"""Images and labels: manifest, dataset layouts, audit, preparation, and the streams the trainers read."""
