"""Rollout: an agent steps through an environment."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import gymnasium
import numpy as np
from numpy.typing import ArrayLike, NDArray

from rlgrid.batch import NO_LIMIT, Batch, empty_batch, joined
from rlgrid.environments.changing import ChangingGridWorld, scheduled_world
from rlgrid.environments.grid_world import GridWorld
from rlgrid.environments.spaces import Indexed, Spaces, spaces_of
from rlgrid.errors import InputError, check_seed, whole
from rlgrid.feeds.feed import Chunk, Finished, no_episodes, room_for
from rlgrid.learning.actor import Actor, TableActor
from rlgrid.models.model import TabularModel
from rlgrid.randomness import Stream, new_stream
from rlgrid.rules.gradient import Gradient
from rlgrid.rules.starts import ChosenStarts, EveryPair, ExploringStarts, Starts, WorldStarts

if TYPE_CHECKING:
    from rlgrid.kernels.interaction import Position


#: Most episodes in a chunk.
_EPISODES = 16_384


class Rollout:
    """Steps through an environment, in a compiled loop where its model is known and in Python elsewhere.

    Compiled: :class:`rlgrid.GridWorld`, and environments with a toy-text ``P``; wrappers that ``gymnasium.make`` puts
    around them do not matter, any other wrapper makes the rollout step through the environment itself. So does an
    :class:`rlgrid.learning.actor.Actor` that is written in Python.

    Args:
        env: an environment with discrete spaces.
        starts: ``"world"``, ``"exploring"`` (every state and action, uniformly), ``"every_pair"`` (each in turn; then a
            chunk is one batch of ``episodes_per_pair`` episodes from each), or an array of states to draw from.
        episode_length: cuts episodes off after so many steps.
        episodes_per_pair: see ``starts``.
        seed: of the environment.
        spaces: what is known of the environment already.

    Raises:
        InputError: for a model, for starts that the environment does not allow, or for numbers that are not counts.
    """

    def __init__(
        self,
        env: gymnasium.Env[Any, Any] | TabularModel,
        *,
        starts: Literal["world", "exploring", "every_pair"] | ArrayLike = "world",
        episode_length: int | None = None,
        episodes_per_pair: int = 1,
        seed: int | None = 0,
        spaces: Spaces | None = None,
    ) -> None:
        if isinstance(env, TabularModel):
            raise InputError(
                "rollout: found a model; allowed: an environment to step through, such as GridWorld(world)"
            )
        self.env = env
        spaces = spaces_of(env) if spaces is None else spaces
        self.model, limit = spaces.stepped, spaces.limit
        self.schedule = env.unwrapped.schedule if isinstance(env.unwrapped, ChangingGridWorld) else []
        if episode_length is not None:
            limit = min(limit, episode_length := whole("episode_length", episode_length))
        self.limit = limit
        self.starts, self.batch_episodes = _starts(self.model, starts, whole("episodes_per_pair", episodes_per_pair))
        if len(self.schedule) > 1 and not isinstance(self.starts, WorldStarts):
            raise InputError("starts: in a world that changes, episodes start where it says; allowed: world")
        check_seed(seed)
        self.episode_length = episode_length
        self.stream = _stream(env, seed)
        self._seed = seed
        self._unrecorded, self._finished = empty_batch(0), no_episodes()

    @cached_property
    def position(self) -> Position:
        """Where the rollout stands between two chunks."""
        from rlgrid.kernels.interaction import new_position  # Numba loads when it is used

        return new_position()

    def prepare(self, agent: Actor) -> None:
        """Load or compile the loop."""
        if self.model is not None and isinstance(agent, TableActor):
            self._run_compiled(agent, empty_batch(1), room_for(1), 0, 0)

    def advance(self, agent: Actor, max_steps: int, max_episodes: int, *, record: bool) -> Chunk:
        """Act and learn, interleaved."""
        if self.batch_episodes:
            assert self.episode_length is not None
            max_episodes, max_steps = self.batch_episodes, min(self.batch_episodes * self.episode_length, NO_LIMIT)
        max_episodes = min(max_episodes, max(_EPISODES, self.batch_episodes))
        batch = empty_batch(max_steps) if record else self._unrecorded
        if len(self._finished.total) < min(max_episodes, max_steps):
            self._finished = room_for(min(max_episodes, max_steps))
        finished = self._finished
        if self.model is not None and isinstance(agent, TableActor):
            max_steps = min(max_steps, self._until_change())
            steps, episodes = self._run_compiled(agent, batch, finished, max_steps, max_episodes)
        else:
            steps, episodes = self._run(agent, batch, finished, max_steps, max_episodes)
        if self.batch_episodes or (isinstance(agent, TableActor) and isinstance(agent.learner.credit, Gradient)):
            agent.end_batch()
        ended = Finished._make(column[:episodes].copy() for column in finished)
        return Chunk(batch.part(0, steps) if record else None, ended, steps)

    def _until_change(self) -> int:
        """Enter the world that is due; the number of steps for which it certainly stays."""
        if not self.schedule:
            return NO_LIMIT
        taken, world = int(self.position.steps[0]), int(self.position.world[0])
        world = self.position.world[0] = scheduled_world(self.schedule, world, taken, int(self.position.state[0]))
        self.model = self.schedule[world][1]
        return max(1, self.schedule[world + 1][0] - taken) if world + 1 < len(self.schedule) else NO_LIMIT

    def collect(self, agent: Actor, *, steps: int | None = None, episodes: int | None = None) -> Batch:
        """Let an agent act, and learn as its recipe says, for so many steps or episodes.

        Returns:
            the transitions, in order.

        Raises:
            InputError: for both or neither of them, or less than one.
        """
        if (steps is None) == (episodes is None):
            raise InputError("collect: allowed: exactly one of steps and episodes")
        left_steps = NO_LIMIT if steps is None else whole("steps", steps)
        left_episodes = NO_LIMIT if episodes is None else whole("episodes", episodes)
        batches = []
        while left_steps > 0 and left_episodes > 0:
            chunk = self.advance(agent, min(left_steps, 65_536), left_episodes, record=True)
            assert chunk.batch is not None
            batches.append(chunk.batch)
            left_steps -= chunk.steps
            left_episodes -= len(chunk.finished.total)
        return joined(batches)

    def state(self) -> dict[str, NDArray[Any]]:
        """Position, random stream and, with ``"every_pair"``, whose turn it is."""
        if self.model is None:
            raise InputError(f"{self.env}: its own state cannot be kept; allowed: environments whose model is known")
        turn = {"turn": self.starts.turn} if isinstance(self.starts, EveryPair) else {}
        position = {f"position.{name}": array for name, array in self.position._asdict().items()}
        return position | {"stream": self.stream} | turn

    def _run_compiled(
        self, agent: TableActor, batch: Batch, finished: Finished, max_steps: int, max_episodes: int
    ) -> tuple[int, int]:
        from rlgrid.kernels.interaction import interact  # Numba loads when it is used

        assert self.model is not None
        tables = self.model.sampling_tables
        steps = episodes = 0
        while True:
            rest, ended = batch.part(steps, batch.size), Finished._make(column[episodes:] for column in finished)
            done = interact(
                agent.learner, agent.behavior, self.starts, tables, self.stream, agent.streams[0],
                rest, self.position, ended, max_steps - steps, max_episodes - episodes, self.limit,
            )  # fmt: skip
            steps, episodes = steps + done[0], episodes + done[1]
            if steps >= max_steps or episodes >= max_episodes:
                return steps, episodes
            agent.make_room()  # a batch has to go on, so that what lands together does

    def _run(
        self, agent: Actor, batch: Batch, finished: Finished, max_steps: int, max_episodes: int
    ) -> tuple[int, int]:
        """The same loop for any environment and any actor."""
        if not isinstance(self.starts, WorldStarts):
            raise InputError("starts: this agent is stepped through the environment, which says where; allowed: world")
        index, first_action = Indexed(self.env.observation_space).index, int(self.env.action_space.start)  # type: ignore[attr-defined]
        batch = batch if batch.size else empty_batch(1)
        at = self.position
        state, action, elapsed = int(at.state[0]), int(at.action[0]), int(at.elapsed[0])
        probability, total = float(at.probability[0]), float(at.total[0])
        steps = episodes = i = 0
        while steps < max_steps and episodes < max_episodes:
            if state < 0:
                seen, info = self.env.reset(seed=self._seed)
                self._seed, state, elapsed, total = None, index(seen), 0, 0.0
                action, probability = agent.choose(state, info.get("action_mask"))
            seen, reward, terminated, truncated, info = self.env.step(first_action + action)
            next_state = index(seen)
            elapsed += 1
            truncated = (truncated or elapsed >= self.limit) and not terminated
            batch.state[i], batch.action[i], batch.reward[i], batch.next_state[i] = state, action, reward, next_state
            batch.terminated[i], batch.truncated[i], batch.behavior_probability[i] = terminated, truncated, probability
            # At an end nothing is chosen, and some environments mask everything there.
            action, probability = agent.observe(batch, i, None if terminated else info.get("action_mask"))
            state = next_state
            total += float(reward)
            steps += 1
            i = i + 1 if i + 1 < batch.size else 0
            if terminated or truncated:
                for column, value in zip(finished, (total, elapsed, terminated, next_state), strict=True):
                    column[episodes] = value
                episodes += 1
                state = -1
        at.state[0], at.action[0], at.elapsed[0] = state, action, elapsed
        at.probability[0], at.total[0] = probability, total
        at.steps[0] += steps
        return steps, episodes


def _stream(env: gymnasium.Env[Any, Any], seed: int | None) -> Stream:
    """The stream of the compiled loop: that of a gridworld reset with the seed, so that both see the same episodes."""
    base = env.unwrapped
    return base.seeded_stream(seed) if isinstance(base, GridWorld) else new_stream(np.random.SeedSequence(seed))


def _starts(model: TabularModel | None, starts: Any, episodes_per_pair: int) -> tuple[Starts, int]:
    """The rule of starts, and the episodes in a batch (0: the feed makes no batches)."""
    if isinstance(starts, str) and starts == "world":
        return WorldStarts(), 0
    if model is None:
        raise InputError("starts: episodes of this environment start where it says; allowed: world")
    if not isinstance(starts, str):
        states = np.ascontiguousarray(starts, dtype=np.int64)
        if states.ndim != 1 or not len(states) or states.min() < 0 or states.max() >= model.n_states:
            raise InputError(f"starts: found {starts}; allowed: a list of states from 0 to {model.n_states - 1}")
        return ChosenStarts(states), 0
    rows = np.flatnonzero((model.available & ~model.terminal[:, None]).ravel())
    share = 1.0 / model.available.sum(axis=1)[rows // model.n_actions]
    if starts == "exploring":
        return ExploringStarts(rows, share, model.n_actions), 0
    return EveryPair(rows, share, model.n_actions, np.zeros(1, np.int64)), len(rows) * episodes_per_pair
