"""Functions evaluated at many points: results kept in files, computed in this process, in others, or on Dask."""
