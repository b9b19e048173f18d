"""Products and exponentials that `numba-blocked` stands on."""
