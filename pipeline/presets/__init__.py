"""The shipped presets, and how a preset is read."""
