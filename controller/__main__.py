"""The controller process: ``python -m controller --config FILE``."""

import sys
import warnings

# eventlet looks for pyOpenSSL and takes its absence well, but not a Debian pyOpenSSL beside a newer cryptography,
# which fails while it is imported. Nobody here uses it: let it be absent.
sys.modules["OpenSSL"] = None  # type: ignore[assignment]

# Ryu is built on eventlet, deprecated or not: saying so at every start helps nobody.
warnings.filterwarnings("ignore", message="(?s).*Eventlet is deprecated")

import eventlet  # noqa: E402

# Everything below must see green sockets, threads and locks: patch before anything else is imported.
eventlet.monkey_patch()

import eventlet.wsgi  # noqa: E402

# Ryu 4.34 still imports it; eventlet 0.33 took it away. Nothing uses its value.
eventlet.wsgi.ALREADY_HANDLED = object()

from controller.process import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main())
