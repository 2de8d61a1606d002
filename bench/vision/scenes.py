"""Synthetic clips of the kinds of video that agents watch, for plots and as a check against overfitting to five clips.

`.venv/bin/python -m bench.vision.scenes FOLDER` writes each as an mp4 of 1280x720 at 25 or 30 fps.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

Picture = NDArray[np.uint8]
WIDTH, HEIGHT = 1280, 720
_WORDS = ("the", "agent", "keeps", "what", "changed", "and", "skips", "the", "rest", "so", "a", "model", "sees", "it")


def _page(seed: int, words: int, *, size_px: int = 26, dark: bool = False) -> Picture:
    rng = np.random.default_rng(seed)
    ink, paper = ((220, 220, 210), (30, 32, 38)) if dark else ((25, 25, 30), (250, 250, 248))
    image = Image.new("RGB", (WIDTH, HEIGHT), paper)
    draw = ImageDraw.Draw(image)
    font = ImageFont.load_default(size_px)
    draw.text((80, 50), f"Page {seed}", font=ImageFont.load_default(54), fill=ink)
    for i in range(words):
        column, row = i % 9, i // 9
        draw.text((80 + 125 * column, 150 + 40 * row), str(rng.choice(_WORDS)), font=font, fill=ink)
    return np.asarray(image)


def _noisy(picture: NDArray[np.floating] | Picture, rng: np.random.Generator, sigma: float) -> Picture:
    noise = rng.normal(0, sigma, picture.shape[:2])[..., None]
    return np.clip(picture.astype(np.float32) + noise, 0, 255).astype(np.uint8)


def _room(seed: int) -> Picture:
    small = np.random.default_rng(seed).integers(40, 200, (9, 16, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(small).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC))


def slides() -> Iterator[Picture]:
    """Yield a slide deck: a page every three seconds, some with a bullet that appears."""
    for seed in range(8):
        for words in (20, 29):
            page = _page(seed, words)
            yield from [page] * 45


def editor() -> Iterator[Picture]:
    """Yield typing in a dark editor at eight characters a second, with a caret that blinks twice a second."""
    text = " ".join(_WORDS * 4)
    base = Image.fromarray(_page(99, 60, size_px=20, dark=True))
    font = ImageFont.load_default(20)
    for i in range(600):
        # Types for four seconds, thinks for two.
        typed = (i // 180) * 32 + min(i % 180, 120) * 8 // 30
        image = base.copy()
        draw = ImageDraw.Draw(image)
        line = text[:typed]
        draw.text((80, 640), line[-90:], font=font, fill=(230, 230, 220))
        if i // 15 % 2:
            x = 80 + draw.textlength(line[-90:], font=font)
            draw.rectangle((x + 2, 640, x + 4, 664), fill=(230, 230, 220))
        yield np.asarray(image)


def person() -> Iterator[Picture]:
    """Yield a person at a camera who talks for six seconds and sits still for six, with little sensor noise."""
    rng, room = np.random.default_rng(4), _room(4)
    for i in range(600):
        image = Image.fromarray(room)
        draw = ImageDraw.Draw(image)
        active = i // 180 % 2 == 0
        sway = 14 * np.sin(i / 9) if active else 0
        x = 640 + sway
        draw.ellipse((x - 190, 420, x + 190, 900), fill=(60, 70, 120))
        draw.ellipse((x - 110, 170, x + 110, 450), fill=(205, 165, 140))
        mouth = 8 + 14 * abs(np.sin(i / 2.3)) if active else 8
        draw.ellipse((x - 36, 370, x + 36, 370 + mouth), fill=(120, 40, 50))
        yield _noisy(np.asarray(image), rng, 1.5)


def covered_lens() -> Iterator[Picture]:
    """Yield a dark picture with sensor noise."""
    rng = np.random.default_rng(5)
    dark = np.full((HEIGHT, WIDTH, 3), 14, np.float32)
    for _ in range(300):
        yield _noisy(dark, rng, 4)


def hand_held() -> Iterator[Picture]:
    """Yield a phone that pans over a detailed wall, with a cut every four seconds."""
    for seed in range(4):
        rng = np.random.default_rng(seed)
        wall = Image.fromarray(rng.integers(0, 255, (60, 160, 3), dtype=np.uint8)).resize((3200, 1200))
        for i in range(100):
            x = 40 + i * 12 + int(6 * np.sin(i / 3))
            y = 200 + int(30 * np.sin(i / 17))
            yield np.asarray(wall.crop((x, y, x + WIDTH, y + HEIGHT)))


def scrolling() -> Iterator[Picture]:
    """Yield a long page that scrolls for a second and stands still for three."""
    tall = np.concatenate([_page(seed, 100, size_px=22) for seed in range(20, 26)])
    y = 0
    for _ in range(5):
        for _ in range(30):
            y = min(y + 22, len(tall) - HEIGHT)
            yield tall[y : y + HEIGHT]
        for _ in range(90):
            yield tall[y : y + HEIGHT]


def entrance() -> Iterator[Picture]:
    """Yield a corridor: empty, then a small person walks through."""
    rng, room = np.random.default_rng(6), _room(6)
    for i in range(600):
        image = Image.fromarray(room)
        if 150 <= i < 400:
            x = (i - 150) * 5
            ImageDraw.Draw(image).ellipse((x, 400, x + 50, 560), fill=(30, 30, 35))
        yield _noisy(np.asarray(image), rng, 2)


def fades() -> Iterator[Picture]:
    """Yield still pictures that fade into each other through black."""
    for seed in range(4):
        room = _room(seed + 30).astype(np.float32)
        for i in range(120):
            light = min(1.0, i / 25, (119 - i) / 25)
            yield (room * light).astype(np.uint8)


SCENES: dict[str, tuple[Callable[[], Iterator[Picture]], int]] = {
    "screen_slides": (slides, 30),
    "screen_editor": (editor, 30),
    "screen_scrolling": (scrolling, 30),
    "talk_person": (person, 30),
    "surv_covered_lens": (covered_lens, 30),
    "surv_entrance": (entrance, 25),
    "phone_hand_held": (hand_held, 25),
    "fades_rooms": (fades, 25),
}


def write(path: Path, pictures: Iterator[Picture], fps: int) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=fps)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.bit_rate = 6_000_000
        for picture in pictures:
            for packet in stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    folder: Path = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    for name, (scene, fps) in SCENES.items():
        write(folder / f"{name}.mp4", scene(), fps)
        print(folder / f"{name}.mp4")


if __name__ == "__main__":
    main()
