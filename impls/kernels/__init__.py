"""The products and exponentials of `numba-blocked`."""
