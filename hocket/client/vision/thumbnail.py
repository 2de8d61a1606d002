"""Makes thumbnails: cell means of 64x64 luma and 16x16 chroma, always in full range."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import gcd
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hocket.client.vision.frame import Buffer, Frame, I420Frame, Plane, RgbFrame, upright

LUMA_CELLS = 64
CHROMA_CELLS = 16
LUMA_BYTES = LUMA_CELLS * LUMA_CELLS
CHROMA_BYTES = 2 * CHROMA_CELLS * CHROMA_CELLS

# Most rows summed per cell: all rows of a luma plane of up to 1080 lines. Of larger frames, chroma and RGB every second
# to fourth row is read, which keeps the cost constant.
_ROWS_MAX = 18
_CHROMA_ROWS_MAX = 8
_RGB_ROWS_MAX = 3
# 16-bit sums per 64-bit number, and the most columns per cell that such a sum holds.
_LANES = 4
_LANE_COLUMNS_MAX = 0xFFFF // (_RGB_ROWS_MAX * 255)


@dataclass(frozen=True, slots=True)
class Thumbnail:
    """Thumbnail of an upright frame.

    Attributes:
        luma: 64x64 cell means, row by row, 4096 bytes, 0 (black) to 255 (white).
        chroma: 16x16 cell means of U, then of V, 512 bytes.
        width: Width of the full frame in pixels.
        height: Height of the full frame in pixels.
    """

    luma: bytes
    chroma: bytes
    width: int
    height: int


def thumbnail(frame: Frame) -> Thumbnail:
    """Return the thumbnail of a frame; 0.2 ms for 720p."""
    luma, u, v = _of_i420(frame) if isinstance(frame, I420Frame) else _of_rgb(frame)
    width, height = frame.upright_size
    if frame.rotation:
        luma, u, v = (upright(cells, frame.rotation) for cells in (luma, u, v))
    if isinstance(frame, I420Frame) and not frame.full_range:
        return Thumbnail(
            luma.tobytes().translate(_LUMA_TO_FULL),
            (u.tobytes() + v.tobytes()).translate(_CHROMA_TO_FULL),
            width,
            height,
        )
    return Thumbnail(luma.tobytes(), u.tobytes() + v.tobytes(), width, height)


def thumbnail_from_i420(data: Buffer, width: int, height: int, *, rotation: int = 0) -> Thumbnail:
    """Return the thumbnail of packed I420 planes in limited range.

    Args:
        data: Planes Y, U and V without padding; use `I420Frame` for strides or full range.
        width: Width in pixels.
        height: Height in pixels.
        rotation: Clockwise turn that makes the picture upright, in degrees.

    Raises:
        InvalidArgument: The size does not fit the buffer.
    """
    return thumbnail(I420Frame(data, width, height, rotation=rotation))


def _of_i420(frame: I420Frame) -> tuple[Plane, Plane, Plane]:
    y, u, v = frame.planes
    luma = _cell_means(y, LUMA_CELLS, LUMA_CELLS, _ROWS_MAX)
    both = frame.chroma_planes
    if both is None or len(u) < CHROMA_CELLS:
        cells_u, cells_v = (_cell_means(plane, CHROMA_CELLS, CHROMA_CELLS, _CHROMA_ROWS_MAX) for plane in (u, v))
    else:
        # Both planes in one pass cost little more than one plane.
        cells = _cell_means(both, 2 * CHROMA_CELLS, CHROMA_CELLS, _CHROMA_ROWS_MAX)
        cells_u, cells_v = cells[:CHROMA_CELLS], cells[CHROMA_CELLS:]
    return luma, cells_u, cells_v


def _of_rgb(frame: RgbFrame) -> tuple[Plane, Plane, Plane]:
    # The conversion (BT.601, full range as in JFIF) is linear, so it is applied to the 64x64 means, not to every pixel.
    depth = frame.bytes_per_pixel
    pixels = _enough_rows(frame.pixels.reshape(frame.height, frame.width * depth), LUMA_CELLS)
    bands = _Bands.of(len(pixels), LUMA_CELLS, _RGB_ROWS_MAX)
    means = bands.combine(_column_means(bands.sum_rows(pixels), frame.width, LUMA_CELLS, depth))
    yuv = (_RGB_TO_YUV[:, :depth] @ means.reshape(-1, depth).T).reshape(3, LUMA_CELLS, LUMA_CELLS)
    chroma = _CHROMA_OF_LUMA_CELLS @ yuv[1:] @ _CHROMA_OF_LUMA_CELLS.T + np.float32(128)
    return _to_bytes(yuv[0]), _to_bytes(chroma[0]), _to_bytes(chroma[1])


def _cell_means(plane: Plane, rows: int, columns: int, rows_max: int) -> Plane:
    """Return the cell means of a plane, (rows, columns) uint8."""
    plane = _enough_rows(plane, rows)
    height, width = plane.shape
    bands = _Bands.of(height, rows, rows_max)
    return _to_bytes(bands.combine(_column_means(bands.sum_rows(plane), width, columns, 1)))


def _enough_rows(plane: Plane, cells: int) -> Plane:
    """Return a plane of at least `cells` rows; rows of a smaller one are repeated, which keeps the means."""
    height = plane.shape[0]
    return plane if height >= cells else np.repeat(plane, -(-cells // height), axis=0)


def _column_means(sums: NDArray[np.uint16], width: int, cells: int, depth: int) -> NDArray[np.float32]:
    """Return means (rows, cells x depth) of `sums` (rows, width x depth) with `depth` interleaved values."""
    rows, columns = len(sums), width // cells
    if width % cells:
        shares, wide = _column_shares(width, cells), sums.astype(np.float32)
        of_channels = [np.ascontiguousarray(wide[:, channel::depth]) @ shares for channel in range(depth)]
        return np.stack(of_channels, axis=2).reshape(rows, -1)
    if depth == _LANES and columns <= _LANE_COLUMNS_MAX:
        # Adds a pixel of four 16-bit sums as one 64-bit number, without a carry between them: six times faster.
        of_cells: NDArray[np.uint64] = np.einsum("rcp->rc", sums.view(np.uint64).reshape(rows, cells, columns))
        return of_cells.view(np.uint16) * np.float32(1 / columns)
    # Cells of whole columns: a product with a small matrix, five times faster than with column shares.
    return (sums.astype(np.float32).reshape(-1, columns * depth) @ _interleaved(columns, depth)).reshape(rows, -1)


@dataclass(frozen=True)
class _Bands:
    """Assignment of the rows of a picture to cells; a row cut by a cell border counts in both cells by its share.

    Exact, so that a switch of resolution changes no cell. The borders repeat every `period` cells, so bands of whole
    rows are summed in `period` numpy calls: 720 lines, 64 cells of 11.25 lines, take 4 calls and 60 us.
    """

    cells: int
    period: int
    period_rows: int
    # First whole row, one past the last, and the step between rows, for each cell of a period.
    spans: tuple[tuple[int, int, int], ...]
    # Rows cut by a border, with their shares in the cells above and below; none where rows are skipped.
    cut_rows: NDArray[np.intp]
    share_above: NDArray[np.float32]
    share_below: NDArray[np.float32]
    scale: NDArray[np.float32]

    @staticmethod
    @lru_cache(maxsize=64)
    def of(height: int, cells: int, rows_max: int) -> _Bands:
        """Return the bands of a picture of `height` rows; reads at most about `rows_max` rows per cell."""
        period = cells // gcd(height, cells)
        period_rows = height * period // cells
        step = max(1, -(-(height // cells) // rows_max))
        spans = [_centred(-(-i * height // cells), (i + 1) * height // cells, step) for i in range(period)]
        read = np.array([len(range(*span)) for span in spans], np.float32)
        borders = np.arange(1, cells) * height
        cut = borders % cells if step == 1 else np.zeros(cells - 1, np.intp)
        share_above = (cut / cells).astype(np.float32)
        share_below = np.where(cut > 0, 1 - share_above, 0).astype(np.float32)
        if step == 1:
            scale = np.full(cells, cells / height, np.float32)
        else:
            scale = np.tile(1 / read, cells // period).astype(np.float32)
        return _Bands(
            cells,
            period,
            period_rows,
            tuple(spans),
            borders // cells if cut.any() else np.empty(0, np.intp),
            share_above,
            share_below,
            scale,
        )

    def sum_rows(self, plane: Plane) -> NDArray[np.uint16]:
        """Return the sums (cells, width) of the whole rows of each cell, followed by the cut rows."""
        width = plane.shape[1]
        sums = np.empty((self.cells + len(self.cut_rows), width), np.uint16)
        periods = self.cells // self.period
        repeating = plane.reshape(periods, self.period_rows, width) if periods > 1 else plane[None]
        for cell, (start, stop, step) in enumerate(self.spans):
            of_cell = sums[cell : self.cells : self.period]
            np.add.reduce(repeating[:, start:stop:step], axis=1, dtype=np.uint16, out=of_cell)
        if len(self.cut_rows):
            sums[self.cells :] = plane[self.cut_rows]
        return sums

    def combine(self, means: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return means (cells, n) over rows, from the result of `sum_rows` reduced to n columns."""
        whole = means[: self.cells].copy()
        if len(self.cut_rows):
            cut = means[self.cells :]
            whole[:-1] += cut * self.share_above[:, None]
            whole[1:] += cut * self.share_below[:, None]
        whole *= self.scale[:, None]
        return whole


def _centred(start: int, stop: int, step: int) -> tuple[int, int, int]:
    """Return the span of every `step`th row from `start` to before `stop`, centred between both."""
    skipped = (stop - start - 1) % step if stop > start else 0
    return start + skipped // 2, max(start, stop), step


@lru_cache(maxsize=64)
def _interleaved(columns: int, depth: int) -> NDArray[np.float32]:
    """Return the matrix (columns x depth, depth) that averages `columns` groups of `depth` values."""
    return np.tile(np.eye(depth, dtype=np.float32) / np.float32(columns), (columns, 1))


@lru_cache(maxsize=64)
def _column_shares(width: int, cells: int) -> NDArray[np.float32]:
    """Return the share of each column in the mean of each cell, (width, cells)."""
    borders = np.arange(cells + 1) * width / cells
    columns = np.arange(width)[:, None]
    overlap = np.minimum(columns + 1, borders[None, 1:]) - np.maximum(columns, borders[None, :-1])
    shares: NDArray[np.float32] = (np.maximum(overlap, 0) * cells / width).astype(np.float32)
    return shares


def _to_bytes(values: NDArray[np.floating[Any]]) -> Plane:
    levels: Plane = np.clip(values + np.float32(0.5), 0, 255).astype(np.uint8)
    return levels


def _table(low: int, high: int, offset: float) -> bytes:
    levels = (np.arange(256) - low) * (255 / (high - low)) + offset
    table: Plane = np.clip(np.rint(levels), 0, 255).astype(np.uint8)
    return table.tobytes()


# ITU-R BT.601 limited range to full range: luma 16..235, chroma 16..240 around 128.
_LUMA_TO_FULL = _table(16, 235, 0)
_CHROMA_TO_FULL = _table(16, 240, 0.5)
# The fourth column ignores alpha.
_RGB_TO_YUV = np.array(
    [[0.299, 0.587, 0.114, 0], [-0.168736, -0.331264, 0.5, 0], [0.5, -0.418688, -0.081312, 0]], dtype=np.float32
)
# Averages 4x4 luma cells to one chroma cell, applied from both sides.
_CHROMA_OF_LUMA_CELLS = np.kron(np.eye(CHROMA_CELLS, dtype=np.float32), np.full(4, 0.25, np.float32))
