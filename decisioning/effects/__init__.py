"""What effects of messages are made of: messages as numbers, numbers of customers, slopes by group."""
