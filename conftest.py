"""Registers the race's options before pytest reads the command line, whichever tests it runs."""

import os

pytest_plugins = ["benchmarks.plugin"]
if os.environ.get("PYTEST_DISABLE_PLUGIN_AUTOLOAD"):
    pytest_plugins.append("pytest_benchmark.plugin")  # the race's options complement those of this plugin
