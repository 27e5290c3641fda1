"""TabularModel: what every action in every state leads to, as sparse rows of outcomes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rlgrid.arrays import Bools, Floats
from rlgrid.batch import Batch, check_batch
from rlgrid.errors import InputError, numbers
from rlgrid.models.counting import counted_tables
from rlgrid.models.forms import (
    Pairs,
    Transitions,
    check_size,
    read_matrices,
    read_pairs,
    read_transitions,
    write_matrices,
    write_pairs,
    write_transitions,
)
from rlgrid.models.outcomes import Outcomes, merge_outcomes, only_ended_in
from rlgrid.models.reachability import reached_from
from rlgrid.models.tables import Tables, Unrolled, blocks, check_tables, row_sums, unrolled
from rlgrid.models.toy_text import ToyText, read_toy_text, write_toy_text
from rlgrid.models.world_tables import world_tables
from rlgrid.models.wrappers import transparent_base
from rlgrid.worlds.outcomes import Outcome
from rlgrid.worlds.world import World

if TYPE_CHECKING:
    import gymnasium
    from scipy.sparse import csr_array

    from rlgrid.models.forms import Matrix


#: What planners read a model from.
Source: TypeAlias = "World | TabularModel | gymnasium.Env[Any, Any]"


class TabularModel:
    """A finite Markov decision process: sparse rows of outcomes, one row for each state and action.

    A row without outcomes is an action that is not available there. In a terminal state every outcome stays, ends the
    episode and pays nothing. The discount belongs to the learner; what a world suggests is kept in ``discount``.

    Build one with :meth:`from_world`, :meth:`from_env`, :meth:`from_arrays` or :meth:`from_batch`; sparse ones with
    :meth:`from_matrices`, :meth:`from_pairs` or :meth:`from_transitions`, and get these forms back with
    :meth:`to_matrices`, :meth:`to_pairs` and :meth:`to_transitions`.

    Attributes:
        shape: rows and columns of the map; ``None`` where the states are no cells.

    >>> import rlgrid
    >>> model = TabularModel.from_world(rlgrid.load_world("frozen_lake_4x4"))
    >>> model.n_states, model.n_actions, int(model.terminal.sum())
    (16, 4, 5)
    """

    def __init__(
        self,
        tables: Tables,
        n_states: int,
        n_actions: int,
        *,
        name: str = "model",
        discount: float | None = None,
        shape: tuple[int, int] | None = None,
        actions: Sequence[str] | None = None,
        max_episode_steps: int | None = None,
        outcomes: tuple[Outcome, ...] | None = None,
        terminal: Bools | None = None,
    ) -> None:
        self.tables = tables
        self.n_states = n_states
        self.n_actions = n_actions
        self.name = name
        self.discount = discount
        self.shape = shape
        self.actions = tuple(actions or (str(a) for a in range(n_actions)))
        self.max_episode_steps = max_episode_steps
        self.outcomes = outcomes
        self._declared_terminal = terminal
        check_tables(tables, n_states, n_actions, name)

    @classmethod
    def from_world(cls, world: World) -> TabularModel:
        """Compile a world's rules; random rewards enter by their mean, and are drawn where episodes are sampled."""
        tables, outcomes = world_tables(world)
        return cls(
            tables,
            world.n_states,
            world.n_actions,
            name=world.name,
            discount=world.discount,
            shape=world.shape,
            actions=world.actions,
            max_episode_steps=world.max_episode_steps,
            outcomes=outcomes,
            terminal=world.mask("wall") | world.mask("terminal"),
        )

    @classmethod
    def from_env(cls, env: gymnasium.Env[Any, Any], *, normalize: bool = False) -> TabularModel:
        """The model of an environment that has the toy-text ``P[state][action] = [(probability, next, reward, done)]``.

        States that are only ever entered with ``done`` become terminal, whatever ``P`` says about what follows them.
        Where the environment has an ``action_mask(state)``, the actions that it rules out are not available.
        ``normalize`` divides the probabilities of each state and action by their sum.

        Raises:
            InputError: where the environment has no ``P``, or its rows are not probabilities.
        """
        base: Any = transparent_base(env)
        if base is None:
            raise InputError(
                f"{env}: it may change what is seen or paid, so its model is not known; allowed: the env itself"
            )
        if isinstance(own := getattr(base, "model", None), cls):
            return own
        name = env.spec.id if env.spec else type(base).__name__
        if (rows := getattr(base, "P", None)) is None:
            raise InputError(
                f"{name}: it has no model (no table P); allowed: learning from samples, or TabularModel.from_batch"
            )
        n_actions = int(base.action_space.n)
        outcomes, n_states = read_toy_text(rows, n_actions, name)
        if callable(mask := getattr(base, "action_mask", None)):  # as Taxi says which actions do something
            allowed = np.array([np.asarray(mask(s)) != 0 for s in range(n_states)]).ravel()
            outcomes = outcomes.only(allowed[outcomes.row])
        desc = getattr(base, "desc", None)
        shape = getattr(base, "shape", None) or (desc.shape if desc is not None else None)
        start = np.asarray(getattr(base, "initial_state_distrib", np.ones(n_states)), dtype=np.float64)
        return cls(
            merge_outcomes(outcomes, n_states, n_actions, start=start, name=name, normalize=normalize),
            n_states,
            n_actions,
            name=name,
            shape=shape if shape and int(np.prod(shape)) == n_states else None,
            max_episode_steps=env.spec.max_episode_steps if env.spec else None,
        )

    @classmethod
    def from_arrays(
        cls,
        P: ArrayLike,
        R: ArrayLike,
        *,
        terminal: ArrayLike | None = None,
        available: ArrayLike | None = None,
        start: ArrayLike | None = None,
        discount: float | None = None,
        normalize: bool = False,
        name: str = "model",
    ) -> TabularModel:
        """A model from arrays. Where states are many, the other forms take less room.

        Args:
            P: transition probabilities [S, A, S]: first the state, then the action, then the next state. An array
                [A, S, S] goes to :meth:`from_matrices`.
            R: rewards [S, A], or [S, A, S] if they depend on the next state.
            terminal: bool [S]; entering such a state ends the episode.
            available: bool [S, A]; rows of actions that are not available are left out.
            start: start distribution [S]; uniform over the states that are not terminal by default.
            discount: a suggestion for planners and learners.
            normalize: divide the probabilities of each state and action by their sum. Within 1e-9 of 1 that is done
                without being asked for, where rounding does not explain the rest.
            name: shown in messages.

        Raises:
            InputError: for shapes that do not fit, rows that do not add up to 1, or rewards that are not finite.

        >>> model = TabularModel.from_arrays(P=[[[0.0, 1.0]], [[0.0, 1.0]]], R=[[1.0], [0.0]], terminal=[False, True])
        >>> model.terminal
        array([False,  True])
        """
        try:
            P, R = np.asarray(P, dtype=np.float64), np.asarray(R, dtype=np.float64)
        except ValueError:
            raise InputError(f"{name}: P, R: allowed: arrays of numbers") from None
        if P.ndim != 3 or 0 in P.shape or P.shape[0] != P.shape[2] or R.shape not in (P.shape, P.shape[:2]):
            other = (
                "; P [A, S, S] goes to TabularModel.from_matrices" if P.ndim == 3 and P.shape[1] == P.shape[2] else ""
            )
            raise InputError(
                f"{name}: found P {P.shape} and R {R.shape}; allowed: P [S, A, S] with R [S, A] or [S, A, S]{other}"
            )
        n_states, n_actions = P.shape[:2]
        ends = np.zeros(n_states, dtype=np.bool_) if terminal is None else np.asarray(terminal, dtype=np.bool_)
        usable = (
            np.ones((n_states, n_actions), dtype=np.bool_) if available is None else np.asarray(available, np.bool_)
        )
        if ends.shape != (n_states,) or usable.shape != (n_states, n_actions):
            raise InputError(
                f"{name}: found terminal {ends.shape} and available {usable.shape}; allowed: [S] and [S, A]"
            )
        s, a, t = np.nonzero((P != 0) & (usable | ends[:, None])[:, :, None])
        reward = R[s, a, t] if R.ndim == 3 else R[s, a]
        outcomes = Outcomes(s * n_actions + a, t, P[s, a, t], reward, np.zeros(len(s), np.bool_))
        return cls._from_outcomes(outcomes, n_states, n_actions, ends, start, discount, normalize, name)

    @classmethod
    def from_matrices(
        cls,
        P: Sequence[Matrix] | ArrayLike,
        R: Any,
        *,
        terminal: ArrayLike | None = None,
        available: ArrayLike | None = None,
        start: ArrayLike | None = None,
        discount: float | None = None,
        normalize: bool = False,
        name: str = "model",
    ) -> TabularModel:
        """A model from a matrix of transition probabilities for each action, as mdptoolbox has them.

        Args:
            P: A matrices [S, S], SciPy's sparse ones or dense ones, or an array [A, S, S].
            R: rewards [S], [S, A], or A matrices [S, S] or an array [A, S, S] if they depend on the next state.
            terminal, available, start, discount, normalize, name: as in :meth:`from_arrays`.

        Raises:
            InputError: for shapes that do not fit, rows that do not add up to 1, or numbers that are not finite.

        >>> model = TabularModel.from_matrices([[[0.0, 1.0], [0.0, 1.0]], [[1.0, 0.0], [1.0, 0.0]]], R=[1.0, 2.0])
        >>> model.n_states, model.n_actions, model.P[0][1]
        (2, 2, [(1.0, 0, 1.0, False)])
        """
        outcomes, n_states, n_actions = read_matrices(P, R, name)
        if available is not None:
            usable = np.asarray(available, np.bool_)
            if usable.shape != (n_states, n_actions):
                raise InputError(f"{name}: found available {usable.shape}; allowed: [S, A], ({n_states}, {n_actions})")
            outcomes = outcomes.only(usable.ravel()[outcomes.row])
        return cls._from_outcomes(outcomes, n_states, n_actions, terminal, start, discount, normalize, name)

    @classmethod
    def from_pairs(
        cls,
        P: Matrix,
        R: Any,
        state: ArrayLike | None = None,
        action: ArrayLike | None = None,
        *,
        terminal: ArrayLike | None = None,
        start: ArrayLike | None = None,
        discount: float | None = None,
        normalize: bool = False,
        name: str = "model",
    ) -> TabularModel:
        """A model from a row of transition probabilities for each state and action, in one matrix.

        QuantEcon's ``DiscreteDP(R, Q, beta, s_indices, a_indices)`` is ``from_pairs(Q, R, s_indices, a_indices,
        discount=beta)``. Pairs that have no row, or an empty one, are not available.

        Args:
            P: a matrix [L, S], sparse or dense; [S * A, S] without ``state`` and ``action``: the actions of the first
                state, then those of the second.
            R: rewards [L], or [L, S] if they depend on the next state, sparse or dense; [S, A] fits [S * A, S].
            state, action: the state and the action of each row, [L] each.
            terminal, start, discount, normalize, name: as in :meth:`from_arrays`.

        Raises:
            InputError: for shapes that do not fit, rows that do not add up to 1, or numbers that are not finite.

        >>> from scipy.sparse import csr_array
        >>> P = csr_array([[0.0, 1.0], [0.5, 0.5], [1.0, 0.0]])
        >>> model = TabularModel.from_pairs(P, R=[1.0, 0.0, 2.0], state=[0, 0, 1], action=[0, 1, 0], discount=0.9)
        >>> model.available
        array([[ True,  True],
               [ True, False]])
        """
        outcomes, n_states, n_actions = read_pairs(P, R, state, action, name)
        return cls._from_outcomes(outcomes, n_states, n_actions, terminal, start, discount, normalize, name)

    @classmethod
    def from_transitions(
        cls,
        state: ArrayLike,
        action: ArrayLike,
        next_state: ArrayLike,
        probability: ArrayLike,
        reward: ArrayLike,
        terminated: ArrayLike | None = None,
        *,
        n_states: int | None = None,
        terminal: ArrayLike | None = None,
        start: ArrayLike | None = None,
        discount: float | None = None,
        normalize: bool = False,
        name: str = "model",
    ) -> TabularModel:
        """A model from columns, a line for each outcome of each state and action.

        Args:
            state, action, next_state, probability, reward: [N] each. Pairs without a line are not available.
            terminated: bool [N], whether the outcome ends the episode; by default those do that enter ``terminal``.
            n_states: by default as many as occur.
            terminal: bool [S]; by default the states that are only ever entered at the end of an episode.
            start, discount, normalize, name: as in :meth:`from_arrays`.

        Raises:
            InputError: for columns that do not fit, rows that do not add up to 1, or numbers that are not finite.

        >>> model = TabularModel.from_transitions([0, 0], [0, 0], [0, 1], [0.5, 0.5], [-1, -1], [False, True])
        >>> model.terminal
        array([False,  True])
        """
        columns: dict[str, Any] = {"state": state, "action": action, "next_state": next_state}
        columns |= {"probability": probability, "reward": reward, "terminated": terminated}
        outcomes, n_states, n_actions = read_transitions(columns, n_states, name)
        if terminal is None and outcomes.terminated.any():
            terminal = only_ended_in(outcomes, n_states)
        return cls._from_outcomes(outcomes, n_states, n_actions, terminal, start, discount, normalize, name)

    @classmethod
    def _from_outcomes(
        cls,
        outcomes: Outcomes,
        n_states: int,
        n_actions: int,
        terminal: ArrayLike | None,
        start: ArrayLike | None,
        discount: float | None,
        normalize: bool,
        name: str,
    ) -> TabularModel:
        """A model of outcomes, which end where they enter a state of ``terminal`` [S]."""
        check_size(n_states, n_actions, name)
        ends = np.zeros(n_states, np.bool_) if terminal is None else np.asarray(terminal, np.bool_)
        if ends.shape != (n_states,):
            raise InputError(f"{name}: terminal: found shape {ends.shape}; allowed: [S], here {n_states}")
        if ends.any():
            outcomes = outcomes._replace(terminated=outcomes.terminated | ends[outcomes.next_state])
        begin = np.where(ends, 0.0, 1.0) if start is None else numbers(f"{name}: start", start, f"[{n_states}] numbers")
        tables = merge_outcomes(
            outcomes, n_states, n_actions, start=begin, name=name, terminal=ends, normalize=normalize
        )
        return cls(tables, n_states, n_actions, name=name, discount=discount)

    @classmethod
    def from_batch(
        cls,
        batch: Batch,
        n_states: int | None = None,
        n_actions: int | None = None,
        *,
        prior: float = 0.0,
        prior_reward: float = 0.0,
        seed: int | np.random.Generator | None = None,
        available: ArrayLike | None = None,
        start: ArrayLike | None = None,
        discount: float | None = None,
        name: str = "counted",
    ) -> TabularModel:
        """A model counted from experience; :mod:`rlgrid.models.counting` says how.

        With ``prior`` = 0 it is the one of maximum likelihood: an action that was never taken is not available, and a
        state in which none was taken absorbs. Rewards enter by their mean for each outcome. A sweep's batch gives the
        exact model back.

        Args:
            batch: transitions; their weights count.
            n_states, n_actions: by default as many as occur.
            prior: Dirichlet pseudo-count of every next state of every available action; above 0 every state can be
                left.
            prior_reward: reward of the pseudo-counts; a high one makes what is unknown attractive.
            seed: draws a model from the posterior; without a seed the model is the posterior's mean. Only with a prior.
            available: bool [S, A], with a prior; all actions by default.
            start: start distribution [S]; uniform over the states acted in by default.
            discount: a suggestion for planners and learners.
            name: shown in messages.

        Raises:
            InputError: for an empty batch, or arguments that do not fit.

        >>> import rlgrid
        >>> model = rlgrid.TabularModel.from_world(rlgrid.load_world("frozen_lake_4x4"))
        >>> again = TabularModel.from_batch(rlgrid.Sweep(model).batch)
        >>> bool(abs(rlgrid.solve(again, discount=1).v - rlgrid.solve(model, discount=1).v).max() < 1e-12)
        True
        """
        shape = check_batch(batch, n_states, n_actions)
        tables = counted_tables(batch, *shape, prior, prior_reward, seed, available, start, name)
        return cls(tables, *shape, name=name, discount=discount)

    def with_tables(
        self, tables: Tables, *, outcomes: tuple[Outcome, ...] | None = None, terminal: Bools | None = None
    ) -> TabularModel:
        """The same states and actions under other tables, as a world's own rules make them.

        ``outcomes`` are those of the tables in fractions, where they are known; ``terminal`` [S] is as here by default.
        """
        return TabularModel(
            tables,
            self.n_states,
            self.n_actions,
            name=self.name,
            discount=self.discount,
            shape=self.shape,
            actions=self.actions,
            max_episode_steps=self.max_episode_steps,
            outcomes=outcomes,
            terminal=self.terminal if terminal is None else terminal,
        )

    def place_of(self, state: int) -> str:
        """A state in words, as messages name it: its row and column on the map, if there is one."""
        if self.shape is None:
            return f"state {state}"
        row, column = divmod(state, self.shape[1])
        return f"row {row + 1}, column {column + 1}"

    def to_pairs(self) -> Pairs:
        """The model as rows of state-action pairs: ``P`` [L, S], ``R`` [L], ``state`` and ``action`` [L].

        They are what :meth:`from_pairs` and QuantEcon's ``DiscreteDP`` take. Rewards enter by their mean. These forms
        know no ends: a terminal state stays and pays nothing, and where episodes end in other states, one more state
        takes their place, the last one.
        """
        return write_pairs(self.tables, self.expected_reward, self.terminal, self.n_actions)

    def to_matrices(self) -> tuple[list[csr_array[Any]], Floats]:
        """The model as a sparse matrix [S, S] for each action, and rewards [S, A]; ends are as in :meth:`to_pairs`.

        They are what :meth:`from_matrices` and mdptoolbox take.

        Raises:
            InputError: where an action is not available, which matrices cannot say.
        """
        return write_matrices(self.to_pairs(), self.n_actions, self.name)

    def to_transitions(self) -> Transitions:
        """The model as columns [N]: state, action, next_state, probability, reward, terminated."""
        return write_transitions(self.tables, self.n_actions)

    @property
    def row_length(self) -> NDArray[np.int64]:
        """Number of outcomes of each row, [S A]."""
        return np.diff(self.tables.first)

    @cached_property
    def sampling_tables(self) -> Tables | Unrolled:
        """The tables in the form that is fastest to draw from."""
        return unrolled(self.tables)

    @cached_property
    def available(self) -> Bools:
        """Which actions there are in each state, bool [S, A]."""
        return (self.row_length > 0).reshape(self.n_states, self.n_actions)

    @cached_property
    def expected_reward(self) -> Floats:
        """Mean reward r(s, a), [S, A]; 0 for an action that is not available."""
        t = self.tables
        return row_sums(t, t.probability * t.reward).reshape(self.n_states, self.n_actions)

    @property
    def row_of_outcome(self) -> NDArray[np.int64]:
        """Row ``state * n_actions + action`` of each outcome, [N]."""
        return np.repeat(np.arange(self.n_states * self.n_actions), self.row_length)

    @cached_property
    def terminal(self) -> Bools:
        """Terminal states, bool [S]: of a world its walls and terminal cells; of other models the states in which every
        outcome stays, ends the episode and pays 0."""
        if self._declared_terminal is not None:
            return self._declared_terminal
        t = self.tables
        rests = t.terminated & (t.reward == 0) & (t.noise < 0)
        terminal = np.ones(self.n_states, dtype=np.bool_)
        for rows, outcomes, row in blocks(t):
            state = (rows.start + row) // self.n_actions
            terminal[state[~rests[t.code[outcomes]] | (t.next_state[outcomes] != state)]] = False
        return terminal

    @cached_property
    def start(self) -> Floats:
        """Start distribution, [S]."""
        distribution = np.zeros(self.n_states)
        distribution[self.tables.start_state] = np.diff(self.tables.start_cumulative, prepend=0.0)
        return distribution

    @cached_property
    def reachable(self) -> Bools:
        """States that some policy reaches from the start distribution, bool [S]."""
        return self.reached(np.ones(self.n_states * self.n_actions, np.bool_))

    def reached(self, rows: Bools) -> Bools:
        """States that are reached from the start distribution by the actions in ``rows`` [S A], bool [S]."""
        from scipy.sparse import csr_array  # SciPy loads when it is used

        t, n = self.tables, self.n_states
        used = rows[self.row_of_outcome]
        counts = np.add.reduceat(np.append(used, False), t.first[:: self.n_actions])[:-1]  # outcomes used in each state
        target = t.next_state[used]
        begin = np.cumsum(np.concatenate([[0], counts]))
        graph = csr_array((np.ones(len(target), np.bool_), target, begin), shape=(n, n))
        return reached_from(graph, t.start_state)

    def can_terminate(self, rows: Bools) -> bool:
        """Whether the actions in ``rows`` [S A] can lead from a start to the end of an episode."""
        acting = rows & np.repeat(self.reached(rows), self.n_actions)
        return bool((acting[self.row_of_outcome] & self.tables.terminated[self.tables.code]).any())

    @cached_property
    def P(self) -> ToyText:
        """The toy-text form ``P[state][action] = [(probability, next_state, reward, terminated)]``, made when used."""
        return write_toy_text(self.tables, self.n_states, self.n_actions)

    def chain(self, policy: Floats) -> tuple[csr_array[np.float64], Floats]:
        """The Markov chain under a policy [S, A]: probabilities [S, S] of going on, and mean rewards [S].

        Outcomes that end the episode carry no probability of going on, so rows may add up to less than 1.
        """
        from scipy.sparse import csr_array

        t = self.tables
        row = self.row_of_outcome
        weight = policy.ravel()[row] * np.where(t.terminated, 0.0, t.probability)[t.code]
        kept = weight != 0
        state = row[kept] // self.n_actions
        shape = (self.n_states, self.n_states)
        matrix = csr_array((weight[kept], (state, t.next_state[kept])), shape=shape)
        matrix.sum_duplicates()
        return matrix, (policy * self.expected_reward).sum(axis=1)


def as_model(source: Source) -> TabularModel:
    """The model of a world (which is compiled only once), of an environment with ``P``, or the model given."""
    if isinstance(source, TabularModel):
        return source
    if isinstance(source, World):
        kept = source.__dict__  # where its other derived arrays are, too
        if "model" not in kept:
            kept["model"] = TabularModel.from_world(source)
        model: TabularModel = kept["model"]
        return model
    if hasattr(source, "unwrapped"):
        return TabularModel.from_env(source)
    raise InputError(f"model: found {type(source).__name__}; allowed: a World, a TabularModel or an environment with P")
