"""Tables as people have them: the form of a CSV file, and what its cells say, read alike wherever a file comes in."""
