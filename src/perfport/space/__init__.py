"""The ground: options, rules between them, configurations, and how two spaces meet."""
