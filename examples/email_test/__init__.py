"""A randomised e-mail test with three arms."""
