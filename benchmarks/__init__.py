"""What is timed and measured, and against whom; each command writes its result as a file."""
