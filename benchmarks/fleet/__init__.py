"""A race on many machines: the same race on every host of a fleet, by an engine that exists."""
