"""What a model learns from: decisions of the log with their features and what came of them."""
