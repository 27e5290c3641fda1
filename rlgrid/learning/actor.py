"""Actor: what a feed asks of whoever acts and learns; TableActor: one whose rules compiled loops run."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from rlgrid.arrays import Floats
from rlgrid.batch import Batch, check_batch, empty_batch
from rlgrid.errors import InputError, shown
from rlgrid.randomness import Stream, new_stream
from rlgrid.rules.behaviors import Behavior, Stored
from rlgrid.rules.corrections import NoCorrection
from rlgrid.rules.credits import Nowhere
from rlgrid.rules.dyna import NoPlanning
from rlgrid.rules.learner import Learner
from rlgrid.rules.schedules import NoTally
from rlgrid.rules.step_sizes import Constant
from rlgrid.rules.targets import Return
from rlgrid.rules.traces import Trace
from rlgrid.rules.update import NoImprovement
from rlgrid.rules.windows import OneStep, Window

#: A return that waits longer than so many steps would fill the memory.
_LONGEST_EPISODE = 2**24


class Actor(Protocol):
    """Something that acts and learns. A rollout through an environment without a model uses nothing else.

    States are numbered from 0. ``mask`` [A] is 0 for actions that are not available in a state, as environments say in
    ``info["action_mask"]``; None: all are. S states, A actions.
    """

    def choose(self, state: int, mask: NDArray[np.int8] | None = None) -> tuple[int, float]:
        """Draw an action for a state; the action, and the probability with which it was drawn."""

    def observe(self, batch: Batch, i: int, mask: NDArray[np.int8] | None = None) -> tuple[int, float]:
        """Choose the action that follows transition i of a batch, write it there, and learn from the transition.

        Returns:
            the action for its next state, and the probability with which it was drawn.
        """

    def update(self, batch: Batch) -> None:
        """Learn from a batch: its transitions in order, then what lands at its end."""

    def end_batch(self) -> None:
        """Let everything land that waits for the end of a batch."""

    @property
    def v(self) -> Floats:
        """State values, [S]."""

    @property
    def policy(self) -> Floats:
        """The policy that is learned, [S, A]."""


class TableActor:
    """Acts by a behavior and learns with a learner; compiled loops run the rules of both.

    Attributes:
        learner: table, counters and choices, as compiled code reads them.
        behavior: how it acts.
        n_actions: A.
        streams: random streams of the behavior and of the learner.
    """

    def __init__(self, learner: Learner, behavior: Behavior, n_actions: int, streams: list[Stream]) -> None:
        self.learner = learner
        self.behavior = behavior
        self.n_actions = n_actions
        self.streams = streams

    @property
    def shape(self) -> tuple[int, int]:
        """Numbers of states and of actions."""
        return len(self.learner.table), self.n_actions

    def act(self, state: int) -> int:
        """Draw an action for a state.

        Raises:
            InputError: for a state that is not one.
        """
        if not 0 <= int(state) < len(self.learner.table):
            raise InputError(f"state: found {state}; allowed: 0 to {len(self.learner.table) - 1}")
        return self.choose(int(state))[0]

    def choose(self, state: int, mask: NDArray[np.int8] | None = None) -> tuple[int, float]:
        """Draw an action for a state; the action, and the probability with which it was drawn."""
        from rlgrid.kernels.interaction import choose  # Numba loads when it is used

        self.forbid(state, mask)
        action, probability = choose(self.learner, self.behavior, state, self.streams[0])
        return int(action), float(probability)

    def observe(self, batch: Batch, i: int, mask: NDArray[np.int8] | None = None) -> tuple[int, float]:
        """Complete transition i of a batch with the action that follows, and learn from it: see :class:`Actor`."""
        from rlgrid.kernels.interaction import learn_one

        self.forbid(int(batch.next_state[i]), mask)
        action, probability = learn_one(self.learner, self.behavior, self.streams[0], batch, i)
        self.make_room()
        return int(action), float(probability)

    def prepare(self) -> None:
        """Load or compile the update, so that this does not count as training time."""
        from rlgrid.kernels.interaction import learn_batch

        learn_batch(self.learner, empty_batch(0), 0)

    def update(self, batch: Batch) -> None:
        """Learn from a batch: its transitions in order, then what lands at its end."""
        from rlgrid.kernels.interaction import learn_batch

        check_batch(batch, *self.shape)
        done = learn_batch(self.learner, batch, 0)
        while done < batch.size:
            self.make_room()
            done = learn_batch(self.learner, batch, done)
        self.end_batch()

    def end_batch(self) -> None:
        """Let everything land that waits for the end of a batch, and improve a stored policy where it is due."""
        from rlgrid.kernels.interaction import finish_batch

        finish_batch(self.learner)

    @property
    def v(self) -> Floats:
        """State values as the table has them, [S]: the best of the actions, where it holds those."""
        return np.asarray(self.learner.table.max(axis=1))

    @property
    def policy(self) -> Floats:
        """The policy by which it acts now, [S, A]."""
        from rlgrid.learning.policies import policy_of

        return policy_of(self.behavior, self.learner.table, self.n_actions)

    @property
    def stored(self) -> list[Floats]:
        """The stored policies, live [S, A]."""
        return [self.behavior.probability] if isinstance(self.behavior, Stored) else []

    def forbid(self, state: int, mask: NDArray[np.int8] | None) -> None:
        """Take actions whose mask [A] is 0 out of a state's choice: they are worth -inf from now on.

        Raises:
            InputError: where the mask is not an array [A], or allows no action.
        """
        if mask is None:
            return
        allowed = np.asarray(mask) != 0
        if allowed.shape != (self.n_actions,) or not allowed.any():
            raise InputError(
                f"action_mask: found {shown(np.asarray(mask).tolist())} in state {state}; "
                f"allowed: {self.n_actions} numbers, at least one of them not 0"
            )
        if self.learner.table.shape[1] == self.n_actions:
            self.learner.table[state, ~allowed] = -np.inf
        for policy in self.stored:
            kept = np.where(allowed, policy[state], 0.0)
            policy[state] = kept / kept.sum() if kept.any() else allowed / allowed.sum()

    def make_room(self, window: int = 0, credit: int = 0) -> None:
        """Double the window or the trace where it is full of what waits for the end of a long episode.

        Args:
            window, credit: the least lengths that the two are to have.

        Raises:
            InputError: for an episode that is too long to be remembered.
        """
        learner = self.learner
        if isinstance(learner.window, Window):
            learner = learner._replace(
                window=_with_room(learner.window, ("state", "action", "reward", "probability"), window)
            )
        if isinstance(learner.credit, Trace):
            learner = learner._replace(credit=_with_room(learner.credit, ("state", "column", "size"), credit))
        self.learner = learner


def _with_room(waiting: Any, names: tuple[str, ...], least: int) -> Any:
    """A window or trace with room for another transition: the same one where it has room."""
    size = len(waiting.state)
    if size >= least and size > waiting.span[1] - waiting.span[0]:
        return waiting
    columns = {name: getattr(waiting, name) for name in names}
    while size < least or size == waiting.span[1] - waiting.span[0]:
        if size >= _LONGEST_EPISODE:
            raise InputError(
                f"an episode has gone on for {size:,} steps, and what is learned waits for its end; "
                f"allowed: an episode_length below {_LONGEST_EPISODE:,}, or a policy that ends"
            )
        columns = {name: np.concatenate([column, np.zeros_like(column)]) for name, column in columns.items()}
        size = 2 * size
    return waiting._replace(**columns)


def policy_actor(policy: Floats, seed: np.random.SeedSequence) -> TableActor:
    """Acts by a policy [S, A] and learns nothing."""
    learner = Learner(
        table=np.zeros((len(policy), 1)),
        visits=np.zeros((len(policy), 1)),
        clock=np.zeros(1, np.int64),
        discount=0.0,
        target=Return(),
        window=OneStep(),
        step_size=Constant(0.0),
        credit=Nowhere(),
        improvement=NoImprovement(),
        correction=NoCorrection(),
        planning=NoPlanning(),
        tally=NoTally(),
    )
    return TableActor(learner, Stored(policy), policy.shape[1], [new_stream(seed)])
