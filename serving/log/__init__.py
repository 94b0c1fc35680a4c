"""The decision log: from the streams and the spool into the event log."""
