"""What changed: which influences stay, scale, flip, vanish or appear between two environments."""
