"""From a training run to the champion: MLflow, promotion, the way back."""
