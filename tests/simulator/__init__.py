"""One test file for each promise-keeping module of the simulator."""
