"""Tables: what follows from a record, as tidy frames."""
