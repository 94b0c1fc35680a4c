"""Among what is permitted: worth, chance, and the draw."""
