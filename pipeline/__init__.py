"""Conducts the two stages: command line, settings, presets, comparison and report."""

if __name__ != "fusecat.pipeline":  # under a second name every class would exist twice
    raise ImportError("import it as fusecat.pipeline")
