"""Options of the server. gRPC ignores unknown options silently: each name must occur in the library's binary."""

from __future__ import annotations

from hocket.chassis import server
from hocket.chassis.settings import ServerSettings
from tests.unit.chassis.test_channel import unknown_to_grpc


def test_each_server_option_exists_in_grpc():
    assert unknown_to_grpc([name for name, _ in server._options(ServerSettings())]) == []
