"""The learning wing: numbers and configurations in, predictions and readable influences out."""
