"""Makes the race's options known before pytest reads the command line, whichever tests it is asked for."""

pytest_plugins = ["benchmarks.plugin"]
