"""The two stages of the pipeline: catalogue and extraction (one), fusion (two)."""

if __name__ != "fusecat.stages":  # under a second name every class would exist twice
    raise ImportError("import it as fusecat.stages")
