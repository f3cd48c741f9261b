"""The two stages of the pipeline: catalogue and extraction (one), fusion (two)."""
