"""Who may call: the access file, its tokens, and the caller of the current RPC. Imports no gRPC."""
