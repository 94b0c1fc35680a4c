"""What happened, reported back: outcomes and events on their way in."""
