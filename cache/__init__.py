"""The HDF5 feature cache: the only thing that the two stages share. numpy and h5py, never torch."""

if __name__ != "fusecat.cache":  # under a second name every class would exist twice
    raise ImportError("import it as fusecat.cache")
