"""KPIs per touchpoint and channel, for the customer and for the company."""
