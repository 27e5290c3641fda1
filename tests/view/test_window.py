"""The window: it shows the picture, answers keys, keeps time and goes away cleanly. Runs without a screen."""

from __future__ import annotations

import os

os.environ["SDL_VIDEODRIVER"] = "dummy"

from collections.abc import Iterator

import numpy as np
import pygame
import pytest

import rlgrid.view.window
from rlgrid.view.picture import Layers, Picture
from rlgrid.view.window import Window
from rlgrid.worlds.world import World

WORLD = """
actions = ["up", "right", "down", "left", "up-left"]
map = '''
...
...
...
'''
"""


@pytest.fixture
def window() -> Iterator[Window]:
    opened = Window(Picture(World.from_toml(WORLD)), fps=2000)
    yield opened
    opened.close()


def press(*keys: int) -> None:
    for key in keys:
        pygame.event.post(pygame.event.Event(pygame.KEYDOWN, key=key, unicode=""))


def screen_of(window: Window) -> np.ndarray:
    assert window._window is not None
    return pygame.surfarray.array3d(window._window.get_surface()).transpose(1, 0, 2)


def test_a_window_shows_the_picture_and_closes_the_display_that_it_opened(window: Window) -> None:
    assert not pygame.display.get_init(), "it opens only with the first frame"
    assert window.show(Layers(agent=4))
    assert np.array_equal(screen_of(window), window.picture.rgb(Layers(agent=4)))
    window.close()
    assert window.closed
    assert not pygame.display.get_init()
    assert not window.show(Layers(agent=4)), "showing on a closed window does nothing"
    assert not pygame.display.get_init()


def test_a_window_leaves_a_display_alone_that_was_there_before(window: Window) -> None:
    pygame.display.init()
    try:
        window.show(Layers())
        window.close()
        assert pygame.display.get_init()
    finally:
        pygame.display.quit()


@pytest.mark.parametrize("event", [pygame.QUIT, pygame.WINDOWCLOSE, "q"])
def test_the_user_closes_the_window_and_the_program_goes_on(window: Window, event: int | str) -> None:
    window.show(Layers())
    if event == "q":
        press(pygame.K_q)
    else:
        pygame.event.post(pygame.event.Event(event))
    assert not window.show(Layers())
    assert window.closed


def test_keys_hide_layers_and_change_the_speed(window: Window) -> None:
    world = window.picture.world
    layers = Layers(values=np.arange(9.0), policy=np.full((9, world.n_actions), 1 / world.n_actions))
    window.show(layers)
    press(pygame.K_v, pygame.K_p, pygame.K_MINUS)
    window.show(layers)
    assert np.array_equal(screen_of(window), window.picture.rgb())
    assert window.fps == 1000
    press(pygame.K_v, pygame.K_KP_PLUS)
    window.show(layers)
    assert np.array_equal(screen_of(window), window.picture.rgb(Layers(values=layers.values)))
    assert window.fps == 2000


def test_a_paused_window_waits_for_a_step_or_for_going_on(window: Window, monkeypatch: pytest.MonkeyPatch) -> None:
    pending: list[int | None] = []

    def wait(seconds: float) -> None:
        assert seconds <= rlgrid.view.window.POLL_SECONDS
        if pending and (key := pending.pop(0)) is not None:
            press(key)

    monkeypatch.setattr(rlgrid.view.window.time, "sleep", wait)
    window.show(Layers())
    press(pygame.K_SPACE)
    for key, still_paused in ((pygame.K_RIGHT, True), (pygame.K_RIGHT, True), (pygame.K_SPACE, False)):
        pending[:] = [None, None, key]
        assert window.show(Layers())
        assert not pending, "it went on before the key was pressed"
        assert window.paused == still_paused


def test_frames_are_paced(window: Window, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0

    def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds

    monkeypatch.setattr(rlgrid.view.window.time, "sleep", sleep)
    monkeypatch.setattr(rlgrid.view.window.time, "perf_counter", lambda: now)
    window.fps = 4.0
    for _ in range(9):
        window.show(Layers())
    assert now == pytest.approx(8 / 4)


def test_a_player_is_asked_for_a_move_that_the_world_knows(window: Window) -> None:
    window.show(Layers())
    press(pygame.K_y, pygame.K_h)
    assert window.ask(Layers(agent=4), ["up", "left"]) == "left"
    assert np.array_equal(screen_of(window), window.picture.rgb(Layers(agent=4)))
    press(pygame.K_RIGHT)
    assert window.ask(Layers(agent=3), ["up", "right"]) == "right"
    press(pygame.K_ESCAPE)
    assert window.ask(Layers(agent=3), ["up", "right"]) is None
