"""From the database to eyes: one picture of the fleet, one broadcaster for all viewers."""
