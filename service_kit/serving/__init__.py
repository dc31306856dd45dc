"""The gRPC server of a service: guard, health, start and drain."""
