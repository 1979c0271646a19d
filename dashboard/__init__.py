"""From the database to eyes: one picture of the fleet in memory, one broadcaster for all viewers."""
