"""The record of a race and of pairs: read and written here only, with the statistics over it."""
