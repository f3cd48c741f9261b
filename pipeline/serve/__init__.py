"""A model behind HTTP: one address to ask, one page to try it."""
