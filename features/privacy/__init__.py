"""Data subject requests: show, correct and erase a customer's data; retention."""
