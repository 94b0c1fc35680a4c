"""Reading customers' texts: language, sentiment and topic, survey scores, and the cases they open."""
