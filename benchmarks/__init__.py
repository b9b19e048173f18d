"""The race: what is timed, how, and the record of it."""
