"""Planned work: when it is, whom it covers, and what begins and ends with it."""
