"""Builds the OpenAPI document from the contracts, their comments and the gateway's own tables."""
