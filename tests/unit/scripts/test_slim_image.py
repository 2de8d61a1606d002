"""What leaves an image, and libraries that stay as they are."""

from __future__ import annotations

import struct

import pytest

from scripts.slim_image import loadable, recompile, removable, remove, size_bytes

REMOVED = (
    "numpy/tests/test_x.py",
    "numpy/f2py/__init__.py",
    "numpy/_core/include/numpy/array.h",
    "numpy/_core/_simd.cpython-313-x86_64-linux-gnu.so",
    "numpy/__init__.pyi",
    "uvloop/loop.pyx",
    "PIL/_avif.cpython-313-x86_64-linux-gnu.so",
    "pillow.libs/libavif-c6062d5f.so.16",
)
KEPT = (
    "numpy/testing/__init__.py",
    "numpy/__init__.py",
    "PIL/_imaging.cpython-313-x86_64-linux-gnu.so",
    "pillow.libs/libwebp-51b0b3f7.so.7",
    "numpy-2.5.5.dist-info/licenses/tests/LICENSE",
    "services/rag/tests/__init__.py",
)


@pytest.fixture
def site(tmp_path):
    for name in (*REMOVED, *KEPT):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * 10)
    return tmp_path


def test_tests_sources_and_unused_parts_are_removed_and_nothing_else(site):
    for path in list(removable(site)):
        remove(path)
    assert {str(p.relative_to(site)) for p in site.rglob("*") if p.is_file()} == set(KEPT)
    assert size_bytes(site) == 10 * len(KEPT)


@pytest.mark.parametrize(("file_offset", "address", "expected"), [(0x1000, 0x3000, True), (0x1010, 0x3000, False)])
def test_a_misplaced_segment_is_not_loadable(file_offset, address, expected):
    header = bytearray(64)
    struct.pack_into("<Q", header, 32, 64)  # the program headers follow
    struct.pack_into("<HH", header, 54, 56, 1)
    segment = struct.pack("<IIQQQQQQ", 1, 5, file_offset, address, address, 16, 16, 0x1000)
    assert loadable(bytes(header) + segment) is expected


def test_bytecode_is_used_whatever_the_time_of_its_source(tmp_path, monkeypatch):
    monkeypatch.setattr("sys.pycache_prefix", None)
    source, bytecode = tmp_path / "module.py", tmp_path / "bytecode"
    source.write_text("x = 1\n")
    stale = bytecode / source.relative_to("/").with_name("module.cpython-313.pyc")
    stale.parent.mkdir(parents=True)
    stale.write_bytes(b"stale")
    assert recompile(bytecode) == 1
    (written,) = bytecode.rglob("module.*.pyc")
    assert written.read_bytes()[4] == 0b01  # by hash, and the hash is not checked
