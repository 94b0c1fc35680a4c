"""The demo on the airline: history, live weeks, and what they were worth."""
