"""The shell that relay and nodes share: everything that touches the machine and is not particular to one of them.

================  ===================================================================
file              what
================  ===================================================================
clock, retry      the time; how long to wait before trying again
config, logs      strict configuration; structured logs without contents
secrets, armour   private files and passphrases; files that people carry
json_record       strict JSON within armoured files
relay_info        the public files of relay and roots
database, engine  one writer that commits in groups, many readers
migrate           the store's schema
tls               who the peer is; certificates of servers and channels
grpc_environment  what must be set before gRPC is loaded
grpc_options      limits and timings of servers and channels
status            which gRPC status an error has
interceptors      errors across gRPC, both ways
lifecycle         start, lock of the home, sockets, drain, periodic tasks
watching          tables that refresh, for people
metrics, measure  counters, and where they are read; what both measure alike
================  ===================================================================
"""

from exchange.runtime.grpc_environment import set_grpc_environment

set_grpc_environment()
