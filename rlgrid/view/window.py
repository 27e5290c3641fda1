"""Window: pictures on the screen, with keys to pause, step, speed up and leave."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

import pygame

from rlgrid.errors import InputError
from rlgrid.view import palette
from rlgrid.view.picture import Layers, Picture

POLL_SECONDS = 0.02  # how long a waiting window may leave its events alone
SLOWEST, FASTEST = 0.25, 2000.0  # frames per second

#: Keys that choose a move in :meth:`Window.ask`: arrows, or the letters of text-mode games.
MOVE_KEYS = {
    pygame.K_UP: "up",
    pygame.K_RIGHT: "right",
    pygame.K_DOWN: "down",
    pygame.K_LEFT: "left",
    pygame.K_k: "up",
    pygame.K_l: "right",
    pygame.K_j: "down",
    pygame.K_h: "left",
    pygame.K_y: "up-left",
    pygame.K_u: "up-right",
    pygame.K_b: "down-left",
    pygame.K_n: "down-right",
    pygame.K_PERIOD: "stay",
}


class Window:
    """A window that shows one world. It opens with the first frame and stays responsive whenever frames come.

    Keys: space pauses, the right arrow goes one step while paused, + and - change the speed, V and P hide values and
    policy, Q and Esc close. Closing the window only sets ``closed``; what follows is up to the caller.
    """

    def __init__(self, picture: Picture, *, fps: float = 8.0, title: str = "rlgrid") -> None:
        """Show ``picture`` at ``fps`` frames per second (0.25 to 2000)."""
        self.picture = picture
        self.fps = fps
        self.title = title
        self.closed = False
        self.paused = False
        self.shows_values = True
        self.shows_policy = True
        self._window: pygame.Window | None = None
        self._opened_display = False
        self._next_frame = 0.0
        self._step = False

    def show(self, layers: Layers) -> bool:
        """Show one frame when it is due; while paused, wait for a key. Returns whether the window is still open.

        Raises:
            InputError: when there is no screen to open a window on.
        """
        self._draw(layers)
        self._step = False
        while not self.closed:
            self._pump(layers)
            wait = POLL_SECONDS if self.paused else self._next_frame - time.perf_counter()
            if self._step or wait <= 0:
                break
            time.sleep(min(wait, POLL_SECONDS))
        self._next_frame = time.perf_counter() + 1.0 / self.fps
        return not self.closed

    def ask(self, layers: Layers, actions: Sequence[str]) -> str | None:
        """Show a frame and wait until the user presses the key of one of ``actions``; None once closed."""
        self._draw(layers)
        while not self.closed:
            for key in self._pump(layers):
                if MOVE_KEYS.get(key) in actions:
                    return MOVE_KEYS[key]
            time.sleep(POLL_SECONDS)
        return None

    def close(self) -> None:
        """Close the window, and pygame's display if this window has started it."""
        self.closed = True
        if self._window is not None:
            self._window.destroy()
            self._window = None
        if self._opened_display:
            pygame.display.quit()
            self._opened_display = False

    def _open(self) -> pygame.Window:
        try:
            if not pygame.display.get_init():
                pygame.display.init()
                self._opened_display = True
            width, height = self.picture.size
            screen_width, screen_height = pygame.display.get_desktop_sizes()[0]
            shrink = min(1.0, 0.9 * screen_width / width, 0.85 * screen_height / height)
            return pygame.Window(self.title, (round(width * shrink), round(height * shrink)), resizable=True)
        except pygame.error as error:
            self.close()
            raise InputError(f"no window can be opened: {error}; allowed without a screen: pictures and GIFs") from None

    def _draw(self, layers: Layers) -> None:
        if self.closed:
            return
        if self._window is None:
            self._window = self._open()
        self._window.title = f"{self.title} · {'paused' if self.paused else f'{self.fps:g} frames/s'}"
        shown = replace(
            layers,
            values=layers.values if self.shows_values else None,
            policy=layers.policy if self.shows_policy else None,
        )
        page, screen = self.picture.surface(shown), self._window.get_surface()
        width, height = screen.get_size()
        scale = min(width / page.get_width(), height / page.get_height())
        size = max(1, round(page.get_width() * scale)), max(1, round(page.get_height() * scale))
        if size != page.get_size():
            page = pygame.transform.smoothscale(page, size)
        screen.fill(palette.PAGE)
        screen.blit(page, ((width - size[0]) // 2, (height - size[1]) // 2))
        self._window.flip()

    def _pump(self, layers: Layers) -> list[int]:
        """Answer the events that have come, and draw again if that changes what is seen; returns the keys pressed."""
        keys: list[int] = []
        resized = False
        for event in pygame.event.get() if pygame.display.get_init() else []:
            if getattr(event, "window", None) not in (None, self._window):
                continue  # another window of the same program
            if event.type in (pygame.QUIT, pygame.WINDOWCLOSE):
                self.close()
            if event.type == pygame.KEYDOWN:
                keys.append(event.key)
                self._press(event.key, getattr(event, "unicode", ""))
            resized = resized or event.type in (pygame.WINDOWSIZECHANGED, pygame.WINDOWEXPOSED)
        if keys or resized:
            self._draw(layers)
        return keys

    def _press(self, key: int, character: str) -> None:
        if key in (pygame.K_q, pygame.K_ESCAPE):
            self.close()
        elif key == pygame.K_SPACE:
            self.paused = not self.paused
        elif key == pygame.K_RIGHT:
            self._step = self.paused
        elif key == pygame.K_v:
            self.shows_values = not self.shows_values
        elif key == pygame.K_p:
            self.shows_policy = not self.shows_policy
        elif character == "+" or key in (pygame.K_PLUS, pygame.K_KP_PLUS):
            self.fps = min(self.fps * 2, FASTEST)
        elif character == "-" or key in (pygame.K_MINUS, pygame.K_KP_MINUS):
            self.fps = max(self.fps / 2, SLOWEST)
