"""A run as a value: where it is, and the steps from there to the next state."""
