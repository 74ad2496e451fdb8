"""What to do with a model: choose configurations, and judge the choice once it was measured."""
