"""The OpenAPI document: what the contracts, their comments and the gateway's own tables say, for people and tools."""
