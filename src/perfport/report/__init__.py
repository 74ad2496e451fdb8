"""What was measured, transferred and recommended, for people: one HTML page, and tables for the terminal."""
