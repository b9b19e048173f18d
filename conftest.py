"""Makes the race's options known before pytest reads the command line, whichever tests it is asked for."""

import os

pytest_plugins = ["benchmarks.plugin"]
if os.environ.get("PYTEST_DISABLE_PLUGIN_AUTOLOAD"):
    pytest_plugins.append("pytest_benchmark.plugin")  # which the race's own options stand beside
