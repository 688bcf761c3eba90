"""What a cell's agent, its API processes and its dispatcher tell each other in shared memory."""
