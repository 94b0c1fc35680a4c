"""`python -m pipelines` is the `nextbest` command."""

from pipelines.cli import main

if __name__ == "__main__":
    main()
