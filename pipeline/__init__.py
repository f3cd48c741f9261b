"""Conducts the two stages: command line, settings, presets, comparison and report."""
