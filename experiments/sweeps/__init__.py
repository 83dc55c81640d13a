"""Functions evaluated at many points: results stored in files, computed in this process, in others, or on Dask."""
