"""What we know: event contracts, the log, the catalogue, feature definitions, the Feast repository, reads."""
