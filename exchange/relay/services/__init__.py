"""The relay's gRPC services. Each method decodes, calls one use case, encodes."""
