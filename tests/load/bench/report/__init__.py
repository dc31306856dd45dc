"""Reports of the measurements as text, JSON, Markdown and a picture."""
