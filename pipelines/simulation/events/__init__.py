"""What happens in a week of the world, as canonical events: trips, service, words, outcomes."""
