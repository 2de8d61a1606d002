"""Dedup over a real socket: every format, invalid pictures, and a stream that continues after them."""

from __future__ import annotations

import io
import struct
import zlib

import imagehash
import numpy as np
import pytest
from google.protobuf.duration_pb2 import Duration
from hocket.vision.v1 import vision_pb2 as pb
from hocket.vision.v1 import vision_pb2_grpc
from PIL import Image

from hocket.chassis import errors
from hocket.chassis.channel import MeshChannel
from hocket.chassis.status import mesh_errors

RNG = np.random.default_rng(8)
PICTURE = np.asarray(
    Image.fromarray(RNG.integers(0, 256, (6, 8, 3), dtype=np.uint8)).resize((320, 240), Image.Resampling.BICUBIC)
)
OTHER = np.ascontiguousarray(PICTURE[:, ::-1] // 2)


def file_of(picture: np.ndarray | Image.Image, kind: str, **options) -> bytes:
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def i420_of(picture: np.ndarray) -> bytes:
    y, cb, cr = np.moveaxis(np.asarray(Image.fromarray(picture).convert("YCbCr")).astype(float), 2, 0)
    height, width = y.shape
    halves = [c.reshape(height // 2, 2, width // 2, 2).mean(axis=(1, 3)) for c in (cb, cr)]
    planes = [16 + y * 219 / 255, *(128 + (half - 128) * 224 / 255 for half in halves)]
    return b"".join(np.rint(plane).astype(np.uint8).tobytes() for plane in planes)


def encoded(picture: np.ndarray, form: str) -> dict[str, object]:
    raw = {"width": picture.shape[1], "height": picture.shape[0]}
    match form:
        case "JPEG" | "PNG" | "WEBP":
            return {"format": f"PIXEL_FORMAT_{form}", "data": file_of(picture, form)}
        case "RGB24":
            return {"format": "PIXEL_FORMAT_RGB24", "data": picture.tobytes(), **raw}
        case "RGBA":
            alpha = np.full((*picture.shape[:2], 1), 9, np.uint8)
            return {"format": "PIXEL_FORMAT_RGBA", "data": np.concatenate([picture, alpha], axis=2).tobytes(), **raw}
    return {"format": "PIXEL_FORMAT_I420", "data": i420_of(picture), **raw}


class Stream:
    def __init__(self, mesh: MeshChannel) -> None:
        self.call = vision_pb2_grpc.VisionServiceStub(mesh.channel).Dedup(**mesh.options(20))
        self.frame_id = 0

    async def config(self, **values) -> None:
        await self.call.write(pb.DedupRequest(config=pb.DedupConfig(**values)))

    async def send(self, *, at_s: float | None = None, **values) -> pb.DedupResponse:
        self.frame_id += 1
        at_us = int((self.frame_id if at_s is None else at_s) * 1e6)
        track = pb.TrackRef(room="r", track="t")
        frame = pb.WholeFrame(frame_id=self.frame_id, track=track, captured_at_us=at_us, **values)
        await self.call.write(pb.DedupRequest(frame=frame))
        return await self.read()

    async def read(self) -> pb.DedupResponse:
        with mesh_errors():
            response = await self.call.read()
        assert isinstance(response, pb.DedupResponse), "the stream has ended"
        return response


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "RGB24", "RGBA", "I420"])
async def test_every_format_is_decoded_and_returned_as_jpeg(form, serving, channel):
    async with serving() as server, channel(server) as mesh:
        stream = Stream(mesh)
        await stream.config(return_jpeg=True)
        first = (await stream.send(**encoded(PICTURE, form))).result
        same = (await stream.send(**encoded(PICTURE, form))).result
        other = (await stream.send(**encoded(OTHER, form))).result
    assert [r.verdict.verdict for r in (first, same, other)] == [pb.VERDICT_KEEP, pb.VERDICT_SKIP, pb.VERDICT_KEEP]
    assert same.jpeg == b""
    image = np.asarray(Image.open(io.BytesIO(first.jpeg)).convert("RGB")).astype(int)
    assert np.abs(image - PICTURE).mean() < 4


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "RGB24", "RGBA", "I420"])
@pytest.mark.parametrize(
    ("policy", "reference"),
    [
        (pb.POLICY_PHASH, imagehash.phash),
        (pb.POLICY_DHASH, imagehash.dhash),
        (pb.POLICY_AHASH, imagehash.average_hash),
    ],
)
async def test_hash_policies_measure_the_distance_of_imagehash(form, policy, reference, serving, channel):
    def hashed(picture: np.ndarray):
        sent = encoded(picture, form)
        if form in {"JPEG", "PNG", "WEBP"}:
            return reference(Image.open(io.BytesIO(sent["data"])))
        if form == "I420":
            height, width = picture.shape[:2]
            return reference(Image.frombytes("L", (width, height), sent["data"][: width * height]))
        return reference(Image.fromarray(picture))

    async with serving() as server, channel(server) as mesh:
        stream = Stream(mesh)
        await stream.config(policy=policy)
        await stream.send(**encoded(PICTURE, form))
        verdict = (await stream.send(**encoded(OTHER, form))).result.verdict
    assert verdict.distance_bits == hashed(PICTURE) - hashed(OTHER)


async def test_the_jpeg_is_scaled_down_on_request(serving, channel):
    async with serving() as server, channel(server) as mesh:
        sizes = []
        for longest, form in ((100, "PNG"), (100, "I420"), (4096, "RGB24")):
            stream = Stream(mesh)
            await stream.config(return_jpeg=True, resize_longest_px=longest)
            result = (await stream.send(**encoded(PICTURE, form))).result
            sizes.append(Image.open(io.BytesIO(result.jpeg)).size)
    assert sizes == [(100, 75), (100, 75), (320, 240)]


async def test_exif_rotation_is_applied(serving, channel):
    exif = Image.Exif()
    exif[0x0112] = 6
    async with serving() as server, channel(server) as mesh:
        stream = Stream(mesh)
        await stream.config(return_jpeg=True)
        result = (await stream.send(format="PIXEL_FORMAT_JPEG", data=file_of(PICTURE, "JPEG", exif=exif))).result
    assert Image.open(io.BytesIO(result.jpeg)).size == (240, 320)


def png_header(width: int, height: int, *, depth: int = 8, colour: int = 2) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    body = zlib.compress(bytes(1000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def animated(kind: str) -> bytes:
    frames = [Image.fromarray(PICTURE), Image.fromarray(OTHER)]
    return file_of(frames[0], kind, save_all=True, append_images=frames[1:])


JPEG, PNG = file_of(PICTURE, "JPEG"), file_of(PICTURE, "PNG")
HOSTILE = {
    "a decompression bomb": ("PNG", png_header(50_000, 50_000), "has too many pixels"),
    "a long strip": ("PNG", png_header(9000, 100), "each side is 1 to 8192"),
    "a large square": ("PNG", png_header(8000, 8000), "send at most 16777216"),
    "a truncated jpeg": ("JPEG", JPEG[: len(JPEG) // 2], "broken or truncated JPEG"),
    "a truncated png": ("PNG", PNG[: len(PNG) // 2], "broken or truncated PNG"),
    "a header that promises more": ("PNG", png_header(2000, 2000), "broken or truncated PNG"),
    "a header alone": ("JPEG", JPEG[:4], "broken or truncated JPEG"),
    "no picture": ("JPEG", b"GIF89a" + bytes(100), "is not a JPEG file"),
    "the wrong format": ("PNG", JPEG, "is not a PNG file"),
    "nothing": ("WEBP", b"", "is not a WEBP file"),
    "an animated webp": ("WEBP", animated("WEBP"), "animated"),
    "an animated png": ("PNG", animated("PNG"), "animated"),
    "a CMYK jpeg": ("JPEG", file_of(Image.fromarray(PICTURE).convert("CMYK"), "JPEG"), "CMYK"),
    "16 bits of grey": ("PNG", file_of(Image.fromarray(RNG.integers(0, 65536, (9, 9), dtype=np.uint16)), "PNG"), "16"),
    "16 bits of colour": ("PNG", png_header(20, 20, depth=16), "16"),
    "a flipped bit": ("PNG", PNG[:80] + bytes([PNG[80] ^ 255]) + PNG[81:], "broken or truncated PNG"),
    "a riff that is no webp": ("WEBP", b"RIFF\x10\x00\x00\x00WAVEfmt " + bytes(30), "broken or truncated WEBP"),
}


@pytest.mark.parametrize("name", HOSTILE)
async def test_a_hostile_picture_is_rejected_and_the_stream_continues(name, serving, channel):
    form, data, problem = HOSTILE[name]
    async with serving() as server, channel(server) as mesh:
        stream = Stream(mesh)
        await stream.config(return_jpeg=True)
        refused = await stream.send(format=f"PIXEL_FORMAT_{form}", data=data)
        after = await stream.send(**encoded(PICTURE, "PNG"))
    assert problem in refused.rejection.message
    assert (refused.rejection.frame_id, refused.rejection.field) == (1, "frame.data")
    assert refused.rejection.reason in {"INVALID_FIELD", "TOO_LARGE"}
    assert after.result.verdict.verdict == pb.VERDICT_KEEP


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"format": "PIXEL_FORMAT_RGB24", "data": bytes(100), "width": 10, "height": 10}, "frame.data"),
        ({"format": "PIXEL_FORMAT_RGBA", "data": bytes(400), "width": 10}, "frame.height"),
        ({"format": "PIXEL_FORMAT_I420", "data": bytes(100), "width": -3, "height": 10}, "frame.width"),
        ({"format": "PIXEL_FORMAT_I420", "data": bytes(100), "width": 8192, "height": 8192}, "frame.data"),
        ({"format": "PIXEL_FORMAT_PNG", "data": PNG, "width": 7}, "frame.width"),
        ({"format": "PIXEL_FORMAT_UNSPECIFIED", "data": PNG}, "frame.format"),
    ],
)
async def test_wrong_sizes_are_rejected_by_field(values, field, serving, channel):
    async with serving() as server, channel(server) as mesh:
        stream = Stream(mesh)
        await stream.config()
        assert (await stream.send(**values)).rejection.field == field


async def test_a_frame_above_the_message_limit_is_refused(serving, channel):
    async with serving() as server, channel(server) as mesh:
        stream = Stream(mesh)
        await stream.config()
        with pytest.raises(errors.MeshError):
            await stream.send(format="PIXEL_FORMAT_RGB24", data=bytes(5 * 1024 * 1024), width=1920, height=1080)


@pytest.mark.parametrize(
    ("config", "field"),
    [
        ({"policy": 99}, "config.policy"),
        ({"resize_longest_px": 5}, "config.resize_longest_px"),
        ({"options": pb.PolicyOptions(hash_threshold_bits=65)}, "config.options.hash_threshold_bits"),
        ({"options": pb.PolicyOptions(busy_interval=Duration(seconds=11))}, "config.options.busy_interval"),
        ({"options": pb.PolicyOptions(cut_share=0)}, "config.options.cut_share"),
    ],
)
async def test_an_invalid_config_ends_the_stream_by_field(config, field, serving, channel):
    async with serving() as server, channel(server) as mesh:
        stream = Stream(mesh)
        await stream.config(**config)
        with pytest.raises(errors.InvalidArgument) as caught:
            await stream.read()
    assert list(caught.value.fields) == [field]


async def test_options_override_the_policy(serving, channel):
    async with serving() as server, channel(server) as mesh:
        stream = Stream(mesh)
        await stream.config(policy=pb.POLICY_PHASH, options=pb.PolicyOptions(hash_threshold_bits=64))
        await stream.send(**encoded(PICTURE, "PNG"))
        assert (await stream.send(**encoded(OTHER, "PNG"))).result.verdict.verdict == pb.VERDICT_SKIP


async def test_keyframes_are_listed_for_their_tenant_only(serving, channel):
    async with serving() as server, channel(server) as mesh, channel(server, "rival") as rivals:
        stream = Stream(mesh)
        await stream.config(return_jpeg=True)
        kept = (await stream.send(**encoded(PICTURE, "PNG"))).result.jpeg
        request = pb.ListKeyframesRequest(track=pb.TrackRef(room="r", track="t"), include_jpeg=True)
        stubs = [vision_pb2_grpc.VisionServiceStub(m.channel) for m in (mesh, rivals)]
        own, foreign = [
            await s.ListKeyframes(request, **m.options(5)) for s, m in zip(stubs, (mesh, rivals), strict=True)
        ]
        counts = [
            (await s.GetStats(pb.GetStatsRequest(), **m.options(5))).total.offered
            for s, m in zip(stubs, (mesh, rivals), strict=True)
        ]
    assert [k.jpeg for k in own.keyframes] == [kept]
    assert (list(foreign.keyframes), counts) == ([], [1, 0])


async def test_a_call_without_a_token_is_refused(serving):
    async with serving() as server:
        async with MeshChannel(f"127.0.0.1:{server.grpc_port}", lambda: "") as mesh:
            stream = Stream(mesh)
            with pytest.raises(errors.Unauthenticated):
                await stream.read()


async def test_the_deadline_ends_a_stream(serving, channel):
    async with serving() as server, channel(server) as mesh:
        call = vision_pb2_grpc.VisionServiceStub(mesh.channel).Dedup(**mesh.options(0.3))
        await call.write(pb.DedupRequest(config=pb.DedupConfig()))
        with pytest.raises(errors.DeadlineExceeded), mesh_errors():
            await call.read()
