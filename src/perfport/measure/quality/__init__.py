"""How far measurements can be trusted: a grade for each, replicate error and drift of a campaign."""
