"""Engines: each does all actions of one kind in one batch, and returns their outcomes in order."""
