"""Compare strategies, learners, samplers and budgets, with statistics a reviewer accepts."""
