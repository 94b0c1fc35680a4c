"""Stored reports: readouts, KPIs and fairness, as JSON that page, command and API share."""
