"""The compiled loops to come."""
