"""What the `nextbest` command ends with, in one place."""

EXIT_FAILED = 1
"""Something is wrong, or the answer to a question is no."""

EXIT_INVALID = 2
"""What was asked for, or a file as a whole, is wrong; nothing was done."""

EXIT_INSUFFICIENT = 3
"""Too little data for an answer."""

EXIT_ALARM = 4
"""A guardrail is broken, or a case is overdue."""

EXIT_REFUSED = 5
"""A new model did not pass the gate; the champion goes on deciding."""

EXIT_NOTHING_NEW = 10
"""There was nothing new to do; only where it was asked for by `--exit-code`."""

EXIT_REJECTED = 65
"""Good rows of a file were accepted, and others were rejected."""

EXIT_UNAVAILABLE = 75
"""Something behind is away; try again later."""

IN_WORDS = (
    "Exit codes: 0 done; 1 failed, or the check did not pass; 2 wrong input, nothing done; 3 too little data; 4 alarm; "
    "5 a new model was refused; 65 rows of a file were refused, the good ones accepted; 75 try again later."
)
