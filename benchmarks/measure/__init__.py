"""One session, which measures in one process, and the one way to run something in another process."""
