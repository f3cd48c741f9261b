"""The command behind every figure in a text; ratios are measured side by side in one run. RESULTS.md holds what was printed."""
