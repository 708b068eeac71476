"""Results in and out of files: labelled datasets, NetCDF-4, and reference data made by others."""
