"""The history: past runs in a database, and their changes of level with the commits where they began."""
