"""The records of races and of pairs, which are read and written here only, and their statistics."""
