"""What marketers declare: offers, channels, stages, caps, tests, each checked and frozen."""
