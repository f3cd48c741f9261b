"""The HDF5 feature cache: the only thing that the two stages share. numpy and h5py, never torch."""
