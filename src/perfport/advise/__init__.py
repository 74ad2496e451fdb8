"""What to do with a model: see what matters and what changed, choose configurations, check releases, deploy."""
