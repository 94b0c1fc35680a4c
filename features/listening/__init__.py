"""What customers' words say: language, mood and topic of texts, scores of surveys, and the trouble they tell of."""
