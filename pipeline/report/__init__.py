"""The comparison of all runs of a workspace, in the terminal and as files."""
