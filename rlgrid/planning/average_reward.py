"""The best mean reward a step in the long run, by relative value iteration.

An episode that ends starts again: what ends is followed, without a step between, by a state drawn from the start
distribution. So an episodic world is worth the mean reward of a long run of episodes over their mean length (renewal
reward); only states that a start leads to count.

With T v = max over actions of r + P v, and h any values, min (T h - h) and max (T h - h) enclose the best mean reward
a step of every state (Puterman, Markov Decision Processes, Theorems 8.5.5 and 9.1.2). Half a step towards T h at a time
leaves no period, so that T h - h converges to the best mean reward of each state (Sec. 8.5.4 and 9.4). Where sweeps are
slow, as along the cycles of a maze, a direct solve for the greedy policy's values shortens the way.

The best mean reward differs between states if and only if it is less than the largest in some *closed class*, a
smallest set of states that no action leaves. A random walk ends in one of these, so nowhere is the best mean reward
less than in the worst of them.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from rlgrid.arrays import Bools, Floats, Ints
from rlgrid.errors import InputError
from rlgrid.kernels.sweeps import NO_WEIGHT, OUTWARD, Accuracy, Rows, choose_rows, row_value, slack, sweep
from rlgrid.models.model import TabularModel
from rlgrid.models.tables import TIE
from rlgrid.planning.certificate import accuracy_of
from rlgrid.planning.graph import Labels, components, leads_out, reachable_from, regroup, state_of_row, uniform_weights
from rlgrid.planning.linear_system import solve_sparse
from rlgrid.planning.problem import MethodResult, Problem
from rlgrid.planning.undiscounted import cells_in_words

#: Sweeps before the first look whether all states can earn the same, and whether the greedy policy's own values are
#: better ones; then again after twice as many.
FIRST_CHECK = 64

#: States above which no linear system is solved.
MOST_DIRECT = 50_000

#: Outcomes to look at, in all sweeps, before a large model is given up: some minutes.
MOST_OUTCOMES = 2**34


class _Renewal(NamedTuple):
    """The states that a start leads to, and last the restart, whose one row leads to the starts: Q states, R rows."""

    rows: Rows
    state: Ints  # [Q - 1] state of the model for each state but the restart
    origin: Ints  # [R] row of the model for each row; its number of rows for that of the restart
    weight: Floats  # [R] probability of each row under a given policy, whose rows alone are kept; else ``NO_WEIGHT``
    accuracy: Accuracy


def average_reward(problem: Problem) -> MethodResult:
    """The best (epsilon-soft) mean reward a step, or that of a given policy, to within ``tol``, and relative values.

    Raises:
        InputError: where it is not the same from all states, not found after ``max_sweeps`` or some minutes, or hidden
            by rounding.
    """
    model, tol, epsilon = problem.model, problem.tol, problem.epsilon
    renewal = _renewal(problem)
    rows, v = renewal.rows, np.zeros(len(renewal.rows.begin) - 1)
    out, check, restart = np.empty_like(v), FIRST_CHECK, len(rows.first) - 2
    low = high = 0.0
    limit = min(problem.max_sweeps, 1 + MOST_OUTCOMES // len(rows.next_state))
    for k in range(1, limit + 1):
        v -= row_value(rows, restart, v)  # relative to a start, so the restart is worth 0, but for rounding
        v[-1] = row_value(rows, restart, v)
        _, size = sweep(rows, renewal.weight, epsilon, v, out)
        change = (out - v)[:-1]
        low, high, error = float(change.min()), float(change.max()), 4.0 * slack(renewal.accuracy, size)
        if problem.on_sweep:
            problem.report(k, _of_model(model, renewal, v))
        bound = OUTWARD * (0.5 * (high - low) + error)
        if bound <= tol or (k == limit and problem.on_limit == "return"):
            choice = np.full(model.n_states, -1)
            choice[renewal.state] = renewal.origin[_greedy(rows, epsilon, v)[:-1]]
            gain = 0.5 * (low + high)
            return MethodResult(_of_model(model, renewal, v), bound, k, gain=gain, choice=choice)
        if high - low <= error:
            raise InputError(
                f"{model.name}: tol {tol:g} cannot be certified in float64; allowed: at least about {2 * error:.1g}"
            )
        if k == check:
            _refuse_if_different(model, renewal, epsilon, v, change, error + TIE * max(1.0, size))
            solved = _relative_values(renewal, epsilon, v)
            sweep(rows, renewal.weight, epsilon, solved, out)
            if np.ptp((out - solved)[:-1]) < 0.5 * (high - low):
                v, check = solved, k + 1
                continue
            check *= 2
        v[:-1] += 0.5 * change
    more = "more, or a larger tol" if limit == problem.max_sweeps else "a larger tol, or fewer states"
    raise InputError(
        f"max_sweeps: not settled after {limit}: the mean reward a step is between {low:.6g} and {high:.6g}; "
        f"allowed: {more}"
    )


def _renewal(problem: Problem) -> _Renewal:
    """The model with its ends replaced by restarts."""
    model = problem.model
    t, n_states, n_rows = model.tables, model.n_states, model.n_states * model.n_actions
    start = model.start[t.start_state]
    n_codes = len(t.probability)
    code_type = t.code.dtype if n_codes + len(start) <= np.iinfo(t.code.dtype).max else np.uint32
    rows = Rows(
        begin=np.append(np.arange(0, n_rows + 1, model.n_actions), n_rows + 1),
        first=np.append(t.first, t.first[-1] + len(start)),
        next_state=np.append(np.where(t.terminated[t.code], n_states, t.next_state), t.start_state).astype(np.int32),
        code=np.append(t.code, n_codes + np.arange(len(start))).astype(code_type),
        reward_share=np.append(t.probability * t.reward, np.zeros(len(start))),
        continuation=np.append(t.probability, start),
    )
    usable = np.diff(rows.first) > 0
    if len(problem.weight):
        usable &= np.append(problem.weight, 1.0) > 0
    reached = reachable_from(rows, usable, n_states)
    number = np.where(reached, np.cumsum(reached) - 1, -1)
    part, origin = regroup(rows, usable & reached[state_of_row(rows)], number)
    weight = np.append(problem.weight, 1.0)[origin] if len(problem.weight) else NO_WEIGHT
    accuracy = accuracy_of(model, part, 1.0, mixed=True)
    return _Renewal(part, np.flatnonzero(reached)[:-1], origin, weight, accuracy)


def _of_model(model: TabularModel, renewal: _Renewal, v: Floats) -> Floats:
    """Values [Q] for the states of the model, [S]; 0 where no start leads."""
    relative = np.zeros(model.n_states)
    relative[renewal.state] = v[:-1]
    return relative


def _greedy(rows: Rows, epsilon: float, v: Floats) -> Ints:
    """The greedy row of each state, [Q]."""
    choice = np.full(len(v), -1)
    choose_rows(rows, epsilon, v, choice, TIE)
    return choice


def _relative_values(renewal: _Renewal, epsilon: float, v: Floats) -> Floats:
    """Values of the given policy, or of the greedy one at v, by a direct solve.

    It is v where these are not unique, or the model is too large.

    The equations are g + x = r + P x for the states, and 0 for what a start is worth. The gain g takes the place of the
    unknown value of the restart, which is that 0.
    """
    from scipy.sparse import csc_array

    rows = renewal.rows
    n_states, length = len(v), np.diff(rows.first)
    if n_states > MOST_DIRECT:
        return v
    weight = renewal.weight
    if not len(weight):
        weight = epsilon * uniform_weights(rows)
        weight[_greedy(rows, epsilon, v)] += 1.0 - epsilon
    share, state = np.repeat(weight, length), np.repeat(state_of_row(rows), length)
    kept = (share > 0) & (rows.next_state < n_states - 1)
    others, last = np.arange(n_states - 1), np.full(n_states - 1, n_states - 1)
    entries = np.concatenate([np.ones(2 * n_states - 2), -(share * rows.continuation[rows.code])[kept]])
    places = np.concatenate([others, others, state[kept]]), np.concatenate([others, last, rows.next_state[kept]])
    reward = np.bincount(state, share * rows.reward_share[rows.code], n_states)
    try:
        x = solve_sparse(csc_array((entries, places), shape=(n_states, n_states)), reward)
    except RuntimeError:  # exactly singular
        return v
    x[-1] = 0.0
    return x if np.isfinite(x).all() else v


def _refuse_if_different(
    model: TabularModel, renewal: _Renewal, epsilon: float, v: Floats, change: Floats, error: float
) -> None:
    """Raise where a closed class is proven to earn less than the greedy policy does elsewhere."""
    rows = renewal.rows
    everything = np.ones(len(rows.first) - 1, np.bool_)
    used = everything if epsilon > 0 or len(renewal.weight) else np.zeros_like(everything)
    used[_greedy(rows, epsilon, v)] = True
    label, closed = _classes(rows, used)
    lowest = np.full(len(closed), np.inf)
    np.minimum.at(lowest, label, change)
    better = label == np.where(closed, lowest, -np.inf).argmax()
    label, closed = _classes(rows, everything)
    highest = np.full(len(closed), -np.inf)
    np.maximum.at(highest, label, change)
    worse = label == np.where(closed, highest, np.inf).argmin()
    least, most = change[better].min(), change[worse].max()
    if most + error < least - error:
        which = "" if len(renewal.weight) else "best "
        raise InputError(
            f"{model.name}: the {which}mean reward a step is not the same from everywhere: {most:.6g} from "
            f"{cells_in_words(model, renewal.state[worse])}, but {least:.6g} from "
            f"{cells_in_words(model, renewal.state[better])}; allowed: the same from everywhere, or a discount below 1"
        )


def _classes(rows: Rows, used: Bools) -> tuple[Labels, Bools]:
    """The component of each state but the restart, and which components none of the rows used leaves."""
    label = components(rows, used)
    closed = np.ones(label.max() + 1, np.bool_)
    closed[label[state_of_row(rows)[used & leads_out(rows, label)]]] = False
    return label[:-1], closed
