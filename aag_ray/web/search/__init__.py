"""Searching the web: several engines behind one interface, each failure a value."""
