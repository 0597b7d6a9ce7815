"""The outside world, safe by default: what may be asked, how it is asked, and what is kept of the answer."""
