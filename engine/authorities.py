"""The authorities whose certificates are trusted, where processors speak TLS.

The libcurl that pycurl's wheel carries looks for them where another distribution has them, and heeds no variable. So it
is told: what Python's ssl module finds, which is the system's, or SSL_CERT_FILE and SSL_CERT_DIR where these are set.
"""

from __future__ import annotations

from typing import Any

import pycurl

from engine.addresses import normalized


def trust(handle: Any, url: str) -> None:
    """Has a pycurl handle check the certificate of ``url`` against these authorities; nothing without TLS."""
    if not normalized(url).startswith("https:"):
        return
    import ssl  # 1 MB and some ms, for those who need it

    paths = ssl.get_default_verify_paths()
    if paths.cafile:
        handle.setopt(pycurl.CAINFO, paths.cafile)
    if paths.capath:
        handle.setopt(pycurl.CAPATH, paths.capath)
