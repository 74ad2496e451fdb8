"""What goes along to the place where it runs: settings in the words of that place, and the card of the model."""
