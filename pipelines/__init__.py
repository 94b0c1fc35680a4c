"""When: the `nextbest` command, the flows it runs, and the composition of the other packages."""
