"""One module per noun of the `nextbest` command."""
