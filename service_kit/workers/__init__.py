"""Worker processes for large or costly documents, so that the event loop does not wait for them."""
