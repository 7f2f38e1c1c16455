"""What one partner runs."""

from exchange.runtime.grpc_environment import set_grpc_environment

set_grpc_environment()
