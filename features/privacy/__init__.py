"""What the law calls the rights of a person: to see what is held, to have it corrected, and to have it erased."""
