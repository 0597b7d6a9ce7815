"""From HTML or plain text to blocks, spans and tags, and from tags back to text. Pure text, exact offsets, no network."""
