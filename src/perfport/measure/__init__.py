"""The machine wing: opens real systems with a configuration and turns runs into measurements."""
