"""The gate: two commits, measured in turns, and the decision whether one is slower."""
