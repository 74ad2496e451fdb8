"""What matters: influences of options and their interactions, and what makes one configuration faster than another."""
