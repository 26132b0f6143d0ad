"""Ray Tune: many students in parallel, the weak ones stopped early."""
