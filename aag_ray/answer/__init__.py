"""From a question to an answer that says where it comes from: memory, the web, or both."""
