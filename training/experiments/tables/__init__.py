"""Readouts of any Parquet or CSV file that has a column with the arm."""
