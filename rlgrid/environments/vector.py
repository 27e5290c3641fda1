"""GridWorldVec: thousands of copies of a gridworld as one Gymnasium vector environment."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import pairwise
from queue import SimpleQueue
from threading import Thread
from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import ArrayLike, NDArray

from rlgrid.batch import NO_LIMIT, Batch, empty_batch
from rlgrid.environments.grid_world import GridWorld
from rlgrid.environments.observations import Observations
from rlgrid.errors import InputError, whole
from rlgrid.kernels.vector import DISABLED, NEXT_STEP, SAME_STEP, refused, roll_each, start_each, step_each
from rlgrid.models.checks import check_policy
from rlgrid.rules.behaviors import Stored
from rlgrid.worlds.world import World

_MODES = {AutoresetMode.NEXT_STEP: NEXT_STEP, AutoresetMode.SAME_STEP: SAME_STEP, AutoresetMode.DISABLED: DISABLED}

#: A thread has to have so many environments to be worth its start.
_PER_THREAD = 8192

#: From so many environments on, a look at all actions at once costs less than one at each in the loop.
_LOOK_FIRST = 1024

_NO_STATES = np.empty(0, np.int64)
_INT64 = np.dtype(np.int64)


class _ThreadPool:
    """Threads that wait for calls; to wake them takes a fifth of the time that a ThreadPoolExecutor needs."""

    def __init__(self, size: int) -> None:
        self._calls: list[SimpleQueue[Callable[[], object] | None]] = [SimpleQueue() for _ in range(size)]
        self._answers: SimpleQueue[BaseException | None] = SimpleQueue()
        for calls in self._calls:
            Thread(target=self._serve, args=(calls,), daemon=True).start()

    def _serve(self, calls: SimpleQueue[Callable[[], object] | None]) -> None:
        while (call := calls.get()) is not None:
            try:
                call()
                self._answers.put(None)
            except BaseException as error:
                self._answers.put(error)

    def run(self, calls: Sequence[Callable[[], object]]) -> None:
        """Make all calls, the first one here and each other in a thread, and wait for them."""
        for queue, call in zip(self._calls, calls[1:], strict=True):
            queue.put(call)
        calls[0]()
        for error in [self._answers.get() for _ in calls[1:]]:
            if error is not None:
                raise error

    def close(self) -> None:
        """Let the threads end."""
        for queue in self._calls:
            queue.put(None)


class GridWorldVec(VectorEnv[Any, Any, Any]):
    """``num_envs`` gridworlds, stepped together in compiled code.

    Environment i gives the very episodes of a :class:`GridWorld` that is reset with the i-th seed; the number of
    threads does not matter.

    Args:
        world: a :class:`World`, a catalog name, or a path to a .toml file.
        num_envs: how many.
        observation: see :class:`rlgrid.environments.observations.Observations`.
        autoreset_mode: what happens when an episode ends, a ``gymnasium.vector.AutoresetMode``.
        max_episode_steps: the world's own limit by default.
        threads: at most so many; all cores by default.

    >>> envs = GridWorldVec("cliff", num_envs=3)
    >>> states, _ = envs.reset(seed=0)
    >>> envs.step(np.array([0, 0, 1]))[1]
    array([  -1.,   -1., -100.])
    """

    def __init__(
        self,
        world: World | str | os.PathLike[str],
        num_envs: int = 1,
        *,
        observation: str = "index",
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        max_episode_steps: int | None = None,
        threads: int | None = None,
        render_mode: str | None = None,
    ) -> None:
        num_envs = whole("num_envs", num_envs)
        if render_mode not in (None, "rgb_array"):
            raise InputError(f"render_mode: found {render_mode!r}; allowed: rgb_array, or none")
        one = GridWorld(world, observation=observation)
        self.world, self.model, self.render_mode = one.world, one.model, render_mode
        self._observations = Observations(observation, one.world, one.model)
        self.num_envs = num_envs
        self.single_observation_space = one.observation_space
        self.single_action_space = one.action_space
        self.observation_space = batch_space(one.observation_space, num_envs)
        self.action_space = batch_space(one.action_space, num_envs)
        mode = AutoresetMode(autoreset_mode)
        self.metadata = {"autoreset_mode": mode, "render_modes": ["rgb_array"], "render_fps": 8}
        self._mode = _MODES[mode]
        self._limit = max_episode_steps or one.model.max_episode_steps or NO_LIMIT
        self._env = one
        self._place = np.zeros((2, num_envs), np.int64)  # state, steps of the episode
        self._over = np.ones(num_envs, np.bool_)  # whether the episode has ended
        self._stream = np.zeros((num_envs, 2), np.uint64)
        self._begun = False
        self._kernel_arguments = (
            *one.model.tables, one.model.n_actions, self._limit, self._mode, self._place, self._over, self._stream
        )  # fmt: skip
        self._all_available = self._mode != DISABLED and bool(one.model.available.all())  # in any state, at any time
        self._threads = threads or os.cpu_count() or 1
        workers = min(self._threads, num_envs // _PER_THREAD)
        self._parts = np.linspace(0, num_envs, max(workers, 1) + 1).astype(int).tolist()
        self._pool = self._new_pool()

    def _new_pool(self) -> _ThreadPool | None:
        return _ThreadPool(len(self._parts) - 2) if len(self._parts) > 2 else None

    def __getstate__(self) -> dict[str, Any]:
        """For copies and pickles: everything but the threads."""
        return self.__dict__ | {"_pool": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._pool = self._new_pool()

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Begin episodes, in all environments or where ``options["reset_mask"]`` (bool [N]) says.

        A seed stands for ``seed``, ``seed + 1``, ...; a list gives one for each environment. ``options["state"]`` is a
        state or an array of states to begin in.

        Raises:
            InputError: for a mask, seeds or states that are not allowed; no environment is changed then.
        """
        options = options or {}
        chosen = np.ones(self.num_envs, np.bool_)
        if "reset_mask" in options:
            chosen = self._chosen(options["reset_mask"])
        states = None if options.get("state") is None else self._open_states(options["state"], chosen)
        self._seed(seed, chosen)
        if states is None:
            start_each(self.model.tables, self._place, self._over, self._stream, chosen)
        else:
            self._place[0, chosen], self._place[1, chosen], self._over[chosen] = states[chosen], 0, False
        return self._observations.many(self.states), {}

    def _chosen(self, mask: Any) -> NDArray[np.bool_]:
        if not self._begun:
            raise InputError("reset_mask: allowed: after a first reset of all environments")
        right = isinstance(mask, np.ndarray) and mask.shape == (self.num_envs,) and mask.dtype == np.bool_
        if not right or not mask.any():
            raise InputError(f"reset_mask: allowed: a bool array [{self.num_envs}] with at least one True")
        chosen: NDArray[np.bool_] = mask
        return chosen

    def _seed(self, seed: int | Sequence[int | None] | None, chosen: NDArray[np.bool_]) -> None:
        seeds = [int(seed) + i for i in range(self.num_envs)] if isinstance(seed, int | np.integer) else seed
        if seeds is None:
            if self._begun:
                return
            seeds = [None] * self.num_envs
        if len(seeds) != self.num_envs:
            raise InputError(f"seed: found {len(seeds)} of them; allowed: one number, or {self.num_envs}")
        streams = self._stream.copy()
        for i in np.flatnonzero(chosen).tolist():
            if seeds[i] is not None or not self._begun:
                self._env._np_random = None  # fresh entropy where no seed is given
                streams[i] = self._env.seeded_stream(seeds[i])
        self._stream[:], self._begun = streams, True

    def _open_states(self, state: ArrayLike, chosen: NDArray[np.bool_]) -> NDArray[np.int64]:
        """The states to begin in, [N]; those that are chosen are open."""
        try:
            states = np.broadcast_to(np.asarray(state), (self.num_envs,))
        except ValueError:  # another shape
            states = np.full(self.num_envs, -1.0)
        inside = (states[chosen] >= 0) & (states[chosen] < self.model.n_states) if states.dtype.kind in "iu" else False
        if not np.all(inside) or self.model.terminal[states[chosen]].any():
            raise InputError(
                f"reset: found state {state!r}; allowed: open states from 0 to {self.model.n_states - 1}, "
                f"one or {self.num_envs}"
            )
        return states.astype(np.int64)

    def step(
        self, actions: ArrayLike
    ) -> tuple[Any, NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]:
        """Act in every environment; all arrays are new ones.

        With ``AutoresetMode.SAME_STEP``, ``info["final_obs"]`` holds the last observation of each episode that has
        ended, and ``info["_final_obs"]`` says where.

        Raises:
            InputError: for an action that is not available, or an episode that waits for a reset.
        """
        n = self.num_envs
        chosen = self._checked_actions(actions)
        if not self._begun:
            raise self._refusal(0, 0)
        state, reward, flags = np.empty(n, np.int64), np.empty(n), np.empty((2, n), np.bool_)
        last = np.empty(n, np.int64) if self._mode == SAME_STEP else _NO_STATES
        arrays = (*self._kernel_arguments, chosen, state, last, reward, flags)
        check = n < _LOOK_FIRST or not self._surely_allowed(chosen)
        wrong = step_each(0, n, check, *arrays) if self._pool is None else self._step_parts(check, chosen, arrays)
        if wrong >= 0:
            raise self._refusal(wrong, int(chosen[wrong]))
        info = self._final(last, flags[0] | flags[1]) if self._mode == SAME_STEP else {}
        return self._observations.many(state), reward, flags[0], flags[1], info

    def _checked_actions(self, actions: ArrayLike) -> NDArray[np.int64]:
        """Actions of any kind as an int64 array [N]."""
        if type(actions) is np.ndarray and actions.dtype is _INT64 and actions.shape == self._over.shape:
            return np.ascontiguousarray(actions)
        try:
            array = np.asarray(actions)
        except ValueError:  # lists of several lengths
            array = np.zeros(0)
        if array.dtype.kind not in "iu":
            raise InputError(f"actions: found {actions!r}; allowed: whole numbers [{self.num_envs}]")
        if array.shape != self._over.shape:
            raise InputError(f"actions: found shape {array.shape}; allowed: ({self.num_envs},)")
        return np.require(array, np.int64, "C")

    def _surely_allowed(self, actions: NDArray[np.int64]) -> bool:
        """A quick look that spares the thorough one: a negative action, read as unsigned, is a very large one."""
        return self._all_available and bool(actions.view(np.uint64).max() < self.model.n_actions)

    def _step_parts(self, check: bool, actions: NDArray[np.int64], arrays: tuple[Any, ...]) -> int:
        """Step a part of the environments in each thread, unless one refuses; its number, else -1."""
        assert self._pool is not None
        if check:
            t = self.model.tables
            wrong = refused(
                0, self.num_envs, t.first, self.model.n_actions, actions, self._place, self._over, self._mode
            )
            if wrong >= 0:
                return int(wrong)
        self._pool.run([partial(step_each, begin, end, False, *arrays) for begin, end in pairwise(self._parts)])
        return -1

    def _final(self, state: NDArray[np.int64], ended: NDArray[np.bool_]) -> dict[str, Any]:
        """The ``info`` of episodes that have ended, as Gymnasium's vector wrappers expect it."""
        if not ended.any():
            return {}
        final = np.full(self.num_envs, None, dtype=object)
        for i, seen in zip(np.flatnonzero(ended).tolist(), self._observations.many(state[ended]), strict=True):
            final[i] = seen
        return {"final_obs": final, "_final_obs": ended, "final_info": {}, "_final_info": ended.copy()}

    def _refusal(self, i: int, action: int) -> InputError:
        if self._over[i]:
            how = "options={'reset_mask': ...}" if self._begun else "seed=..."
            return InputError(f"environment {i}: its episode has ended; allowed: reset({how}) before step")
        return InputError(f"environment {i}: found action {action}; allowed: 0 to {self.model.n_actions - 1}")

    def rollout(self, policy: ArrayLike, steps: int, *, seed: int | None = 0, out: Batch | None = None) -> Batch:
        """Act by a policy for so many steps in every environment, and record them.

        Episodes that end are followed by new ones at once, whatever the autoreset mode.

        Args:
            policy: probabilities [S, A].
            steps: in each environment.
            seed: of the policy; the environments go on with their own streams.
            out: a batch of that size from an earlier call to write into; new memory costs more time than the steps.

        Returns:
            the transitions of one environment after the other, ``num_envs * steps`` in all.

        Raises:
            InputError: for a policy that does not fit, or before the first reset.
        """
        if not self._begun or steps < 1:
            raise InputError(f"rollout: found {steps} steps; allowed: at least 1, after reset()")
        behavior = Stored(check_policy(self.model, policy))
        streams = np.random.SeedSequence(seed).generate_state(2 * self.num_envs, np.uint64).reshape(-1, 2)
        streams[:, 1] |= np.uint64(1)
        batch = empty_batch(self.num_envs * steps) if out is None else out
        if batch.size != self.num_envs * steps:
            raise InputError(f"out: found room for {batch.size:,}; allowed: {self.num_envs * steps:,}")
        shared: Any = (
            self.model.tables,
            behavior,
            self._place,
            self._over,
            self._stream,
            streams,
            batch,
            steps,
            self._limit,
        )
        parts = np.linspace(0, self.num_envs, min(self._threads, self.num_envs) + 1).astype(int).tolist()
        with ThreadPoolExecutor(self._threads) as pool:
            for part in [pool.submit(roll_each, a, b, *shared) for a, b in pairwise(parts)]:
                part.result()
        return batch

    @property
    def states(self) -> NDArray[np.int64]:
        """The state of every environment, a copy [N]."""
        states: NDArray[np.int64] = self._place[0].copy()
        return states

    def render(self) -> tuple[Any, ...] | None:
        """A frame of every environment, with ``render_mode="rgb_array"``."""
        if self.render_mode is None:
            return None
        from rlgrid.view.picture import Layers, Picture

        picture = Picture(self.world)
        return tuple(picture.rgb(Layers(agent=state)) for state in self._place[0].tolist())

    def close_extras(self, **kwargs: Any) -> None:
        """Stop the threads."""
        if self._pool is not None:
            self._pool.close()
            self._pool = None
