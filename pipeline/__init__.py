"""Conducts the two stages: command line, settings, presets, comparison and report."""

if __name__ != "fusecat.pipeline":  # under a second name every class would exist twice
    message = "import it as fusecat.pipeline"
    raise ImportError(message)
