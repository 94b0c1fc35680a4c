"""The server's own log: one JSON object a line on stderr, so that stdout stays for results."""

import sys

import structlog


def log_to_stderr() -> None:
    """Set the log up; called once per process, at its edge."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        logger_factory=structlog.PrintLoggerFactory(file=sys.stderr),
    )
