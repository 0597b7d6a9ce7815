"""Mixed ranking: engines, words, meaning and age together, so that no engine's order decides alone."""
