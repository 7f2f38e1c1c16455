"""What gRPC must find in the environment when it is loaded, because it has no option for it.

gRPC offers TLS 1.2 beside 1.3 and reads its list of 1.2 suites from the environment once. We give it one suite that
only an RSA certificate could serve, and use ECDSA certificates: every 1.2 handshake fails, 1.3 is not affected
(crypto.md section 9). Its own log is silenced: handshake errors print paths and reasons that no log of ours would hold.

The packages whose modules use gRPC call this in their __init__.py: exchange.runtime, exchange.relay, nodes. Python runs
that before any module inside, wherever `import grpc` stands there; a test looks for modules elsewhere.
"""

import os
import sys

from exchange.errors import ConfigurationError

NO_TLS_1_2 = "ECDHE-RSA-AES256-GCM-SHA384"

_SUITES = "GRPC_SSL_CIPHER_SUITES"
_VERBOSITY = "GRPC_VERBOSITY"


def set_grpc_environment() -> None:
    """Set it, before gRPC is loaded; once is enough, more is harmless.

    Raises:
        ConfigurationError: gRPC was loaded before, and would accept TLS 1.2.
    """
    if "grpc" not in sys.modules:
        os.environ[_SUITES] = NO_TLS_1_2
        os.environ.setdefault(_VERBOSITY, "NONE")
    elif os.environ.get(_SUITES) != NO_TLS_1_2:
        raise ConfigurationError(
            "gRPC was loaded before Concord, and would accept TLS 1.2",
            hint=f"import exchange.runtime first, or set {_SUITES}={NO_TLS_1_2}",
        )
