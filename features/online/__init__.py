"""What Redis holds of a customer: keys, the packed feature record, the profile."""
