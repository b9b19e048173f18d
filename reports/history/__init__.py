"""The history: past runs in a database, and what changed in them, with the commit where it began."""
