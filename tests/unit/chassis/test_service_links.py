"""Recognition of the variables that Kubernetes sets for each Service."""

from __future__ import annotations

import pytest

from hocket.chassis.service_links import is_service_link


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("HOCKET_RAG_SERVICE_HOST", "10.0.0.1"),
        ("HOCKET_RAG_METRICS_SERVICE_HOST", "fd00::1"),
        ("HOCKET_RAG_METRICS_SERVICE_PORT", "50051"),
        ("HOCKET_RAG_METRICS_SERVICE_PORT_GRPC", "50051"),
        ("HOCKET_RAG_METRICS_SERVICE_PORT_GRPC_WEB", "50051"),
        ("HOCKET_RAG_METRICS_PORT", "tcp://10.0.0.1:50051"),
        ("HOCKET_RAG_METRICS_PORT", "tcp://[fd00::1]:50051"),
        ("HOCKET_RAG_METRICS_PORT_50051_TCP", "tcp://10.0.0.1:50051"),
        ("HOCKET_RAG_METRICS_PORT_50051_TCP_PROTO", "tcp"),
        ("HOCKET_RAG_METRICS_PORT_50051_TCP_PORT", "50051"),
        ("HOCKET_RAG_METRICS_PORT_50051_TCP_ADDR", "10.0.0.1"),
        ("HOCKET_RAG_METRICS_PORT_53_UDP", "udp://10.0.0.1:53"),
    ],
)
def test_each_form_of_a_service_link_is_recognised(name, value):
    assert is_service_link(name, value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("HOCKET_RAG_GRPC_PORT", "50051"),
        ("HOCKET_RAG_GRPC_PROT", "tcp://10.0.0.1:50051"),
        ("HOCKET_RAG_SERVICE_HOST", "rag.example"),
        ("HOCKET_RAG_SERVICE_PORT", "tcp://10.0.0.1:50051"),
        ("HOCKET_RAG_PORT_50051_TCP_PORT", "50052"),
        ("HOCKET_RAG_TRANSPORT", "tcp://10.0.0.1:50051"),
        ("HOCKET_RAG_REDIS_URL", "tcp://10.0.0.1:6379"),
    ],
)
def test_a_setting_or_a_misspelled_one_is_no_service_link(name, value):
    assert not is_service_link(name, value)
