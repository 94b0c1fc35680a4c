"""Hand-over of decisions to channels without a line to us, by file: letters, calls, desks, invitations."""
