"""Variables that Kubernetes sets in every pod for each Service of the namespace; they are no settings of this process.

A Service named hocket-rag-metrics gives HOCKET_RAG_METRICS_SERVICE_HOST, which looks like a setting of rag; one named
hocket-rag-grpc gives HOCKET_RAG_GRPC_PORT=tcp://10.0.0.1:50051, which has the name of one.
"""

from __future__ import annotations

import re

_LINK = re.compile(
    r"(?:^|_)(?:(?P<host>SERVICE_HOST)|(?P<number>SERVICE_PORT(?:_[A-Z0-9_]+)?)"
    r"|PORT(?:_(?P<port>\d+)_(?P<protocol>TCP|UDP|SCTP)(?:_(?P<part>PROTO|PORT|ADDR))?)?)$"
)
_ADDRESS = re.compile(r"[0-9.]+|[0-9a-fA-F:.]*:[0-9a-fA-F:.]*")
_URL = re.compile(r"(tcp|udp|sctp)://(.+):(\d{1,5})")


def is_service_link(name: str, value: str) -> bool:
    """Return whether Kubernetes made the variable: the name has the form of a service link, and so has the value."""
    found = _LINK.search(name.upper())
    if found is None:
        return False
    if found["host"] or found["part"] == "ADDR":
        return bool(_ADDRESS.fullmatch(value))
    if found["number"]:
        return value.isdecimal()
    if found["part"]:
        return value.lower() == {"PORT": found["port"], "PROTO": (found["protocol"] or "").lower()}[found["part"]]
    url = _URL.fullmatch(value)
    return url is not None and bool(_ADDRESS.fullmatch(url[2].strip("[]")))
