"""The machine measured on: what it is, what happens on it meanwhile, and whose turn it is."""
