"""The command behind every figure in a text. Ratios are measured side by side in one run; see RESULTS.md for what was printed."""
