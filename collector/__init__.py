"""The collector: from the broker's three topics into the database, exactly once."""
