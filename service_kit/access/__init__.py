"""Who may call: the access file, its tokens, and the caller of the RPC at hand. Imports no gRPC."""
