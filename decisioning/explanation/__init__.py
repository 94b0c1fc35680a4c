"""Decisions told from their records: to customers, agents and auditors, with why not and what would change it."""
