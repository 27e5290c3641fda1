"""Antialiased shapes and text on software surfaces; none of it needs a display."""

from __future__ import annotations

import itertools
import math
from functools import lru_cache

import pygame

from rlgrid.view.palette import Colour

Point = tuple[float, float]
Paint = Colour | tuple[int, int, int, int]  # with alpha

SUPERSAMPLING = 3
LARGEST_SUPERSAMPLED = 1300  # pixels a side; beyond, three times as many would fill hundreds of megabytes


class Canvas:
    """A transparent canvas in picture pixels, drawn larger and scaled down, so that every edge is smooth.

    Shapes replace what lies under them, without blending, so a shape with alpha has to be the first one.
    """

    def __init__(self, width: int, height: int) -> None:
        self.size = (width, height)
        side = max(width, height)
        # The smaller the picture, the more a pixel matters: an arrow in a small cell has a head of four.
        self.scale = min(max(480 // side, SUPERSAMPLING), 12) if side <= LARGEST_SUPERSAMPLED else 1
        self.paper = pygame.Surface((width * self.scale, height * self.scale), pygame.SRCALPHA, 32)

    def finish(self) -> pygame.Surface:
        """The picture with premultiplied alpha: scaling would otherwise mix in the colour of transparent pixels."""
        paper = self.paper.premul_alpha()
        return paper if self.scale == 1 else pygame.transform.smoothscale(paper, self.size)

    def _scaled(self, x: float, y: float, width: float, height: float) -> pygame.Rect:
        left, top = round(x * self.scale), round(y * self.scale)
        return pygame.Rect(left, top, round((x + width) * self.scale) - left, round((y + height) * self.scale) - top)

    def box(
        self, x: float, y: float, width: float, height: float, colour: Colour, *, line: float = 0, corner: float = 0
    ) -> None:
        """A rectangle, filled or (with ``line`` > 0) its outline, its corners rounded by ``corner``."""
        thick = max(1, round(line * self.scale)) if line else 0
        area = self._scaled(x, y, width, height)
        pygame.draw.rect(self.paper, colour, area, thick, border_radius=round(corner * self.scale) or -1)

    def block(
        self, x: float, y: float, side: float, colour: Colour, corners: tuple[float, float, float, float]
    ) -> None:
        """A filled square whose corners (upper left, upper right, lower left, lower right) are rounded one by one."""
        radii = [round(corner * self.scale) for corner in corners]
        pygame.draw.rect(self.paper, colour, self._scaled(x, y, side, side), 0, -1, *radii)

    def disc(self, centre: Point, radius: float, colour: Paint, *, line: float = 0) -> None:
        """A disc, or (with ``line`` > 0) a ring whose outer radius is ``radius``."""
        thick = max(1, round(line * self.scale)) if line else 0
        middle = (centre[0] * self.scale, centre[1] * self.scale)
        pygame.draw.circle(self.paper, colour, middle, radius * self.scale, thick)

    def polygon(self, points: list[Point], colour: Paint) -> None:
        # pygame takes whole numbers for the middles of pixels
        pygame.draw.polygon(self.paper, colour, [(x * self.scale - 0.5, y * self.scale - 0.5) for x, y in points])

    def stroke(self, points: list[Point], width: float, colour: Paint) -> None:
        """A line through the points, with round joints and ends."""
        for (x, y), (u, v) in itertools.pairwise(points):
            length = math.hypot(u - x, v - y) or 1.0
            a, b = (v - y) / length * width / 2, (x - u) / length * width / 2
            self.polygon([(x + a, y + b), (u + a, v + b), (u - a, v - b), (x - a, y - b)], colour)
        for point in points:
            self.disc(point, width / 2, colour)

    def arrow(self, tail: Point, tip: Point, width: float, colour: Paint) -> None:
        """A straight arrow with a round tail; ``width`` is that of the shaft."""
        length = math.hypot(tip[0] - tail[0], tip[1] - tail[1]) or 1.0
        x, y = (tip[0] - tail[0]) / length, (tip[1] - tail[1]) / length
        head = min(3.4 * width, 0.55 * length)
        neck = (tip[0] - x * head, tip[1] - y * head)
        self.stroke([tail, (neck[0] + x * head * 0.2, neck[1] + y * head * 0.2)], width, colour)
        half = head * 0.58
        self.polygon([tip, (neck[0] - y * half, neck[1] + x * half), (neck[0] + y * half, neck[1] - x * half)], colour)

    def star(self, centre: Point, radius: float, colour: Colour) -> None:
        """A star of five points that stands on two of them."""
        points = []
        for i in range(10):
            angle, reach = math.pi * (i / 5 - 0.5), radius * (1.0 if i % 2 == 0 else 0.46)
            points.append((centre[0] + reach * math.cos(angle), centre[1] + reach * math.sin(angle)))
        self.polygon(points, colour)

    def hatch(self, x: float, y: float, side: float, gap: float, width: float, colour: Colour) -> None:
        """Rising diagonals over a square; squares side by side share their lines."""
        self.paper.set_clip(self._scaled(x, y, side, side))
        for i in range(math.floor((x + y) / gap), math.ceil((x + y + 2 * side) / gap) + 1):
            points = [(i * gap - y, y), (i * gap - y - side, y + side)]
            half = width / math.sqrt(2)
            (a, top), (b, bottom) = points
            self.polygon([(a - half, top), (a + half, top), (b + half, bottom), (b - half, bottom)], colour)
        self.paper.set_clip(None)


def curve(start: Point, end: Point, *, bend: float, keep_off: float) -> list[Point]:
    """A quadratic Bezier curve, ``keep_off`` pixels short at both ends; ``bend`` is its bow over its length."""
    dx, dy = end[0] - start[0], end[1] - start[1]
    length = math.hypot(dx, dy) or 1.0
    control = (start[0] + dx / 2 - dy * bend * 2, start[1] + dy / 2 + dx * bend * 2)
    points = []
    for i in range(41):
        t = keep_off / length + (1 - 2 * keep_off / length) * i / 40
        a, b, c = (1 - t) ** 2, 2 * t * (1 - t), t**2
        points.append((a * start[0] + b * control[0] + c * end[0], a * start[1] + b * control[1] + c * end[1]))
    return points


@lru_cache(maxsize=64)
def _font(size: int) -> pygame.font.Font:
    return pygame.font.Font(None, size)


def render(words: str, size: int, colour: Colour) -> pygame.Surface:
    """A line of text in the font that comes with pygame, the same on every machine; alpha is premultiplied.

    It is set larger and scaled down: at its own size the font's letters would snap to whole pixels and stand unevenly.
    """
    pygame.font.init()
    try:
        line = _font(size * SUPERSAMPLING).render(words, True, colour)
    except pygame.error:  # somebody quit pygame since, and its fonts died with it
        _font.cache_clear()
        line = _font(size * SUPERSAMPLING).render(words, True, colour)
    width, height = (max(1, round(side / SUPERSAMPLING)) for side in line.get_size())
    return pygame.transform.smoothscale(line.premul_alpha(), (width, height))


@lru_cache(maxsize=4096)
def _short_text(words: str, size: int, colour: Colour) -> tuple[pygame.Surface, pygame.Rect]:
    line = render(words, size, colour)
    return line, line.get_bounding_rect()


def fitting_size(words: str, width: float, largest: int, smallest: int = 11) -> int:
    """The largest font size at which the text is at most ``width`` wide; 0 if that would be too small to read."""
    for size in range(largest, smallest - 1, -1):
        if _short_text(words, size, (0, 0, 0))[1].width <= width:
            return size
    return 0


def write(surface: pygame.Surface, words: str, middle: Point, size: int, colour: Colour) -> None:
    """Put a short text on a surface, its digits centred at ``middle``; texts are kept, as the same ones come again."""
    line, ink = _short_text(words, size, colour)
    digit = _short_text("0", size, colour)[1]  # the same height for every text, so that minus signs do not jump
    x, y = middle[0] - ink.x - ink.width / 2, middle[1] - digit.y - digit.height / 2
    surface.blit(line, (round(x), round(y)), special_flags=pygame.BLEND_PREMULTIPLIED)
