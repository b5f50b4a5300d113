"""Who is on call: schedules of layers and overrides, and how their people are reached."""
