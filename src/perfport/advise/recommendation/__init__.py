"""Which configuration to take: goals, candidates and fronts, and what settles the choice by measuring."""
