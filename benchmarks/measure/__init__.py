"""One session: what one process measures, and the one way to run something in another process."""
