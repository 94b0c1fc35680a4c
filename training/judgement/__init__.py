"""What a model is worth before it may decide: held-back customers, gain curves, comparisons."""
