"""Decisions for a whole audience at once, and who gets what when not everybody can."""
