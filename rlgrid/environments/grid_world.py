"""GridWorld: a world as a Gymnasium environment."""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, Any, SupportsInt

import gymnasium
import numpy as np
from gymnasium.envs.registration import EnvSpec
from gymnasium.spaces import Discrete

from rlgrid.environments.observations import Observations
from rlgrid.errors import InputError, one_of
from rlgrid.models.custom_rules import CustomRule, model_with_rules
from rlgrid.models.model import TabularModel
from rlgrid.models.sampling import sample_reward
from rlgrid.randomness import Stream, stream_of, uniforms
from rlgrid.worlds.world import World, load_world

if TYPE_CHECKING:
    from rlgrid.view.picture import Picture
    from rlgrid.view.window import Window


#: Random numbers drawn ahead at a time.
_BLOCK = 512


class GridWorld(gymnasium.Env[Any, Any]):
    """A gridworld with observation = state index and action = index into ``world.actions``.

    Episodes end (``terminated``) only where the world says so, and are cut off (``truncated``) after the world's
    ``max_episode_steps``. All randomness comes from one stream that ``reset(seed=...)`` sets; compiled loops that are
    given the same seed see the same episodes.

    Args:
        world: a :class:`World`, a catalog name, or a path to a .toml file.
        render_mode: ``None``, ``"human"``, ``"rgb_array"`` or ``"ansi"``.
        observation: what is seen of the state; see :class:`rlgrid.environments.observations.Observations`.
        rules: rules of your own; see :func:`rlgrid.model_with_rules`.

    >>> env = GridWorld("cliff")
    >>> state, info = env.reset(seed=0)
    >>> env.step(0)
    (24, -1.0, False, False, {})
    """

    metadata = {"render_modes": ["human", "rgb_array", "ansi"], "render_fps": 8}  # noqa: RUF012 (as Gymnasium has it)

    def __init__(
        self,
        world: World | str | os.PathLike[str],
        render_mode: str | None = None,
        *,
        observation: str = "index",
        rules: Sequence[CustomRule] = (),
    ) -> None:
        if render_mode is not None and render_mode not in self.metadata["render_modes"]:
            raise InputError(f"render_mode: {one_of(render_mode, self.metadata['render_modes'])}, or none")
        self.render_mode = render_mode
        self.world = world if isinstance(world, World) else load_world(world)
        self.model = model_with_rules(self.world, rules) if rules else TabularModel.from_world(self.world)
        self._observe = Observations(observation, self.world, self.model)
        self._index = observation == "index"
        made_with = {"world": self.world, "observation": observation, "rules": rules}
        self.spec = EnvSpec("rlgrid/GridWorld-v0", entry_point="rlgrid:GridWorld", kwargs=made_with)
        self.observation_space = self._observe.space
        self.action_space = Discrete(self.model.n_actions)
        self._limit = self.model.max_episode_steps or float("inf")
        self._rows = RowLists(self.model)
        self._row: dict[int, _Row] | None = None
        self._state = -1
        self._elapsed = 0
        self._stream: Stream | None = None
        self._block: list[float] = []  # numbers drawn ahead of the stream, the next one last
        self._picture: Picture | None = None
        self._window: Window | None = None

    @property
    def P(self) -> dict[int, dict[int, list[tuple[float, int, float, bool]]]]:
        """The toy-text form of the model, made when first asked for."""
        return self.model.P

    def seeded_stream(self, seed: int | None) -> Stream:
        """The stream that ``reset(seed=seed)`` starts from, a copy."""
        super().reset(seed=seed)
        counter, increment = self.np_random.integers(0, 2**64, size=2, dtype=np.uint64).tolist()
        return stream_of(counter, increment)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Begin an episode; ``options={"state": s}`` begins it in a chosen state."""
        if seed is not None or self._stream is None:
            self._stream, self._block = self.seeded_stream(seed), []
        state = options.get("state") if options else None
        if state is None:
            state = self._start()
        self.state, self._elapsed = state, 0
        if self.render_mode == "human":
            self.render()
        return self._observe(self._state), {}

    @property
    def state(self) -> int:
        """The state that the agent is in; assigning another open state puts it there."""
        return self._state

    @state.setter
    def state(self, state: int) -> None:
        if (
            not isinstance(state, int | np.integer)
            or not 0 <= state < self.model.n_states
            or self.model.terminal[state]
        ):
            raise InputError(f"state: found {state}; allowed: an open state from 0 to {self.model.n_states - 1}")
        self._state = int(state)
        self._row = self._rows[self._state]

    def __getstate__(self) -> dict[str, Any]:
        """For copies and pickles: everything but what is on the screen."""
        return self.__dict__ | {"_picture": None, "_window": None}

    def step(self, action: SupportsInt) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Act; ``info`` is empty."""
        try:
            thresholds, outcomes = self._row[action]  # type: ignore[index]
        except (KeyError, TypeError):
            raise self._refusal(action) from None
        if thresholds:
            try:
                u = self._block.pop()
            except IndexError:
                u = self._refill()
            state, reward, terminated, noise = outcomes[bisect_right(thresholds, u)]
        else:
            state, reward, terminated, noise = outcomes[0]
        if noise >= 0:
            with np.errstate(over="ignore"):  # the stream's counter wraps around
                reward = sample_reward(self.model.tables, noise, self._rewound())
        self._state = state
        self._row = self._rows[state]
        self._elapsed += 1
        if self.render_mode == "human":
            self.render()
        seen = state if self._index else self._observe(state)
        return seen, reward, terminated, self._elapsed >= self._limit and not terminated, {}

    def _start(self) -> int:
        """A start state, the same that :func:`rlgrid.models.sampling.sample_start` draws."""
        states = self.model.tables.start_state
        if len(states) == 1:
            return int(states[0])
        u = self._block.pop() if self._block else self._refill()
        return int(states[np.searchsorted(self.model.tables.start_cumulative, u, side="right")])

    def _refusal(self, action: object) -> Exception:
        if self._row is None:
            return gymnasium.error.ResetNeeded("call reset() before step()")
        return InputError(f"action: found {action!r}; allowed: 0 to {self.model.n_actions - 1}")

    def _refill(self) -> float:
        """The next random number. They are drawn in blocks: one at a time would cost more than the rest of a step."""
        assert self._stream is not None
        self._block = uniforms(self._stream, _BLOCK)[::-1].tolist()
        return self._block.pop()

    def _rewound(self) -> Stream:
        """The stream before the numbers that were drawn ahead, which are given back."""
        assert self._stream is not None
        self._stream[0] -= np.uint64(len(self._block)) * self._stream[1]
        self._block.clear()
        return self._stream

    def render(self) -> Any:
        """A frame [height, width, 3], a text, or a window that is brought up to date, as ``render_mode`` says."""
        if self.render_mode is None:
            gymnasium.logger.warn("render() was called without a render_mode; give one to gym.make or GridWorld")
            return None
        if self.render_mode == "ansi":
            return self._text()
        from rlgrid.view.picture import Layers, Picture  # pygame loads when it is used
        from rlgrid.view.window import Window

        if self._picture is None:
            self._picture = Picture(self.world)
        layers = Layers(agent=self._state if self._state >= 0 else None)
        if self.render_mode == "rgb_array":
            return self._picture.rgb(layers)
        if self._window is None:
            self._window = Window(self._picture, fps=self.metadata["render_fps"])
        self._window.show(layers)
        return None

    def _text(self) -> str:
        rows = [list(row) for row in self.world.rows]
        if self._state >= 0:
            row, col = divmod(self._state, self.world.shape[1])
            rows[row][col] = "@"
        return "\n".join("".join(row) for row in rows) + "\n"

    def close(self) -> None:
        """Close the window, where there is one."""
        if self._window is not None:
            self._window.close()
            self._window = None


#: Cumulative probabilities but the last; next state, reward, termination and ``noise`` of each outcome.
_Row = tuple[list[float], list[tuple[int, float, bool, int]]]


class RowLists(dict[int, dict[int, _Row]]):
    """Rows of a model as Python lists, which Python reads faster than arrays; made when a state is first visited."""

    def __init__(self, model: TabularModel) -> None:
        super().__init__()
        self._model = model

    def __missing__(self, state: int) -> dict[int, _Row]:
        tables, n_actions = self._model.tables, self._model.n_actions
        rows: dict[int, _Row] = {}
        for action in range(n_actions):
            begin, end = tables.first[state * n_actions + action : state * n_actions + action + 2].tolist()
            code = tables.code[begin:end]
            thresholds = list(accumulate(tables.probability[code].tolist()))[:-1]
            columns = (tables.next_state[begin:end], tables.reward[code], tables.terminated[code], tables.noise[code])
            if begin < end:
                rows[action] = (thresholds, list(zip(*(column.tolist() for column in columns), strict=True)))
        self[state] = rows
        return rows
