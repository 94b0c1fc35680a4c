"""From a training run to the champion: MLflow, promotion, rollback."""
