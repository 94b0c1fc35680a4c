"""What is not as it was: features, scores, calibration, rewards, and groups that suddenly get nothing."""
