"""Tables derived from a record, as tidy frames."""
