"""Access control: the access file, its tokens, and the caller of the current RPC. It does not import gRPC."""
