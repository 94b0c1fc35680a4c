"""What we learn: datasets, value models, calibration, off-policy evaluation, experiment readouts, MLflow."""
