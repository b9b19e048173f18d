"""The same race on every host of a fleet, by Dask, Slurm or on this host."""
