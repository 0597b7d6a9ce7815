"""Question answering that awakens what a language model knows, on Ray."""

__version__ = "0.1.0"
