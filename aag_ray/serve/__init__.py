"""Answers over HTTP: an OpenAI-compatible endpoint and a page."""
