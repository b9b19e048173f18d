"""The page: one HTML file that holds everything."""
