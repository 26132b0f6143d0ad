"""What people look at: one HTML file a run, and the table that ends it on the terminal."""
