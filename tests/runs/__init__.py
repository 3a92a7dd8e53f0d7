"""Whole runs: the command line, several processes, killed trainings, the script for a GPU."""
