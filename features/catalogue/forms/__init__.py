"""The form of the catalogue files, one module per section."""
