"""Limits and timings of gRPC servers and channels (crypto.md section 9). A list of options is what gRPC takes."""

from exchange.limits import KIB, RECEIVE_BYTES

Options = list[tuple[str, int | str]]

CONNECTIONS = 1_000
"""Of one server."""

STREAMS = 32
"""Calls under way on one connection."""

METADATA_BYTES = 8 * KIB
HANDSHAKE_MS = 5_000
IDLE_MS = 600_000
PING_MS = 60_000
PING_ANSWER_MS = 20_000
LEAST_PING_MS = 30_000
"""A peer that pings more often is cut off."""

CONNECTION_AGE_MS = 900_000
"""Connections are renewed after this time, so that nobody stays on a certificate that has ended."""

CONNECTION_GRACE_MS = 30_000
RECONNECT_FIRST_MS = 500
RECONNECT_CAP_MS = 15_000

_MESSAGES: Options = [
    ("grpc.max_receive_message_length", RECEIVE_BYTES),
    ("grpc.max_send_message_length", RECEIVE_BYTES),
    ("grpc.max_metadata_size", METADATA_BYTES),
    ("grpc.absolute_max_metadata_size", 2 * METADATA_BYTES),
    # Only "identity": compressed lengths tell about contents, and a small message could unpack to a large one.
    ("grpc.compression_enabled_algorithms_bitset", 1),
]


def server_options(*, connections: int = CONNECTIONS, connection_age_ms: int | None = CONNECTION_AGE_MS) -> Options:
    """Return the options of a server on the network; `connection_age_ms` None lets connections live on."""
    options: Options = [
        *_MESSAGES,
        # Without this a second process could take the same port and half of the calls.
        ("grpc.so_reuseport", 0),
        ("grpc.max_allowed_incoming_connections", connections),
        ("grpc.server_handshake_timeout_ms", HANDSHAKE_MS),
        ("grpc.max_concurrent_streams", STREAMS),
        ("grpc.max_connection_idle_ms", IDLE_MS),
        ("grpc.http2.min_ping_interval_without_data_ms", LEAST_PING_MS),
        ("grpc.http2.max_ping_strikes", 2),
        ("grpc.keepalive_time_ms", PING_MS),
        ("grpc.keepalive_timeout_ms", PING_ANSWER_MS),
    ]
    if connection_age_ms is not None:
        options.append(("grpc.max_connection_age_ms", connection_age_ms))
        options.append(("grpc.max_connection_age_grace_ms", CONNECTION_GRACE_MS))
    return options


def channel_options(server_name: str) -> Options:
    """Return the options of a channel over the network; `server_name` is what the server's certificate must say."""
    return [
        *_MESSAGES,
        ("grpc.ssl_target_name_override", server_name),
        ("grpc.default_authority", server_name),
        ("grpc.keepalive_time_ms", PING_MS),
        ("grpc.keepalive_timeout_ms", PING_ANSWER_MS),
        ("grpc.initial_reconnect_backoff_ms", RECONNECT_FIRST_MS),
        ("grpc.max_reconnect_backoff_ms", RECONNECT_CAP_MS),
    ]


def local_options() -> Options:
    """Return the options of servers and channels on a Unix socket."""
    # The name of a socket's path is no valid authority for every client.
    return [*_MESSAGES, ("grpc.default_authority", "localhost")]
