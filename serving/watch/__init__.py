"""What a server keeps an eye on beside answering."""
