"""The gate's report: verdicts on a change, and the minimum detectable effects."""
