"""The race, which times implementations and writes records."""
