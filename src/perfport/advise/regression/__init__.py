"""Did it get worse? Checks that gate a release, their rules, and their results for continuous integration."""
