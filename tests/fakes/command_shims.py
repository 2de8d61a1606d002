"""Stand-ins for programs that documented commands call and that a machine may lack: grpcurl and ffmpeg."""

from __future__ import annotations

import importlib
import json
import sys

import grpc
from google.protobuf import json_format

FRAMES, WIDTH, HEIGHT = 3, 640, 360


def grpcurl(arguments: list[str]) -> None:
    """Call `[-plaintext] [-H header] [-d json] TARGET SERVICE/METHOD` and print the first response as JSON."""
    options = {"-H": "", "-d": "{}"}
    rest: list[str] = []
    words = iter(arguments)
    for word in words:
        if word in options:
            options[word] = next(words)
        elif word != "-plaintext":
            rest.append(word)
    target, path = rest
    service, _, method = path.partition("/")
    package, _, name = service.rpartition(".")
    module = importlib.import_module(f"{package}.{package.split('.')[1]}_pb2")
    rpc = module.DESCRIPTOR.services_by_name[name].methods_by_name[method]
    request = getattr(module, rpc.input_type.name)()
    json_format.ParseDict(json.loads(options["-d"]), request)
    header, _, value = options["-H"].partition(": ")
    with grpc.insecure_channel(target) as channel:
        call = channel.unary_unary(
            f"/{path}",
            request_serializer=type(request).SerializeToString,
            response_deserializer=getattr(module, rpc.output_type.name).FromString,
        )
        print(json_format.MessageToJson(call(request, timeout=10, metadata=((header.lower(), value),))))


def ffmpeg(arguments: list[str]) -> None:
    """Write a few I420 frames, each brighter than the one before, where the command asks for raw video."""
    if "rawvideo" not in arguments or f"scale={WIDTH}:{HEIGHT}" not in arguments:
        sys.exit(f"this stand-in writes raw video of {WIDTH}x{HEIGHT} only, not {arguments}")
    for number in range(FRAMES):
        luma, chroma = bytes([60 * number]) * (WIDTH * HEIGHT), bytes([128]) * (WIDTH * HEIGHT // 2)
        sys.stdout.buffer.write(luma + chroma)


if __name__ == "__main__":
    {"grpcurl": grpcurl, "ffmpeg": ffmpeg}[sys.argv[1]](sys.argv[2:])
