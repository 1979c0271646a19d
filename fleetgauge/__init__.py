"""The command line: finds the program for a subcommand, imports it and nothing else."""
