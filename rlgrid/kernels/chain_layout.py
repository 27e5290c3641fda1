"""The chain of a policy laid out for passes in an order, and sweeps over it.

What a stencil says about a pattern, a chain has to say about each state, as policies differ from state to state.
"""

from __future__ import annotations

from typing import NamedTuple

from rlgrid.arrays import Bools, Floats, Ints
from rlgrid.choices import unsigned
from rlgrid.compiled import compiled
from rlgrid.kernels.stencil import FORESEEN, Places
from rlgrid.kernels.sweeps import Rows


class Steps(NamedTuple):
    """One step of a policy from each of S states, to D other states at most."""

    reward: Floats  # [S] mean
    ending: Floats  # [S] what is lost on the way: the chance to end, below discount 1 also what is discounted
    staying: Floats  # [S] discounted probability of staying
    target: Places  # [S, D] other states; -1: no more of them
    chance: Floats  # [S, D] their discounted probabilities


@compiled
def mix_rows(rows: Rows, lost: Floats, weight: Floats, steps: Steps) -> bool:
    """Write the step of the policy that takes each row with probability ``weight`` [R]; False: D is too small.

    lost [C] is, for each distinct outcome, its probability minus its ``continuation``.
    """
    for s in range(len(steps.reward)):
        reward, ending, staying, n = 0.0, 0.0, 0.0, 0
        for row in range(rows.begin[unsigned(s)], rows.begin[unsigned(s + 1)]):
            share = weight[unsigned(row)]
            if not share > 0.0:
                continue
            for i in range(rows.first[unsigned(row)], rows.first[unsigned(row + 1)]):
                code = rows.code[unsigned(i)]
                reward += share * rows.reward_share[unsigned(code)]
                ending += share * lost[unsigned(code)]
                ahead = share * rows.continuation[unsigned(code)]
                t = rows.next_state[unsigned(i)]
                if t == s:
                    staying += ahead
                elif ahead > 0.0:
                    d = 0
                    while d < n and steps.target[unsigned(s), unsigned(d)] != t:
                        d += 1
                    if d == steps.target.shape[1]:
                        return False
                    if d == n:
                        steps.target[unsigned(s), unsigned(d)] = t
                        steps.chance[unsigned(s), unsigned(d)] = 0.0
                        n += 1
                    steps.chance[unsigned(s), unsigned(d)] += ahead
        for d in range(n, steps.target.shape[1]):
            steps.target[unsigned(s), unsigned(d)] = -1
            steps.chance[unsigned(s), unsigned(d)] = 0.0
        steps.reward[unsigned(s)], steps.ending[unsigned(s)], steps.staying[unsigned(s)] = reward, ending, staying
    return True


@compiled
def order_chain(target: Places, source: Bools, seen: Bools, begin: Ints, before: Places, order: Places) -> int:
    """Order the states that are not ``seen`` [S] by the number of steps from which they lead to a source; how many do.

    The others follow as they come. begin [S + 2], zeros, and before [as many as targets] are room for the states that
    lead to each; ``seen`` is written to.
    """
    n_states = len(source)
    for s in range(n_states):
        for d in range(target.shape[1]):
            if target[unsigned(s), unsigned(d)] >= 0:
                begin[unsigned(target[unsigned(s), unsigned(d)] + 2)] += 1
    for s in range(n_states):
        begin[unsigned(s + 2)] += begin[unsigned(s + 1)]
    for s in range(n_states):
        for d in range(target.shape[1]):
            t = target[unsigned(s), unsigned(d)]
            if t >= 0:
                before[unsigned(begin[unsigned(t + 1)])] = s
                begin[unsigned(t + 1)] += 1
    found, done = 0, 0
    for s in range(n_states):
        if source[unsigned(s)] and not seen[unsigned(s)]:
            order[unsigned(found)] = s
            found += 1
            seen[unsigned(s)] = True
    while done < found:
        t = order[unsigned(done)]
        done += 1
        for i in range(begin[unsigned(t)], begin[unsigned(t + 1)]):
            s = before[unsigned(i)]
            if not seen[unsigned(s)]:
                order[unsigned(found)] = s
                found += 1
                seen[unsigned(s)] = True
    leading = found
    for s in range(n_states):
        if not seen[unsigned(s)]:
            order[unsigned(found)] = s
            found += 1
    return leading


@compiled
def lay_out_chain(steps: Steps, order: Places, place: Places, constant: Floats, weight: Floats, moving: Floats,
                  neighbour: Places) -> bool:  # fmt: skip
    """The rows of a stencil whose every state is a pattern of its own; False where a state never moves."""
    m = len(order)
    for j in range(m):
        s = order[unsigned(j)]
        leaves = steps.ending[unsigned(s)]
        for d in range(neighbour.shape[1]):
            leaves += steps.chance[unsigned(s), unsigned(d)]
        if not leaves > 0.0:
            return False
        moving[unsigned(j)] = leaves
        constant[unsigned(j)] = steps.reward[unsigned(s)] / leaves
        for d in range(neighbour.shape[1]):
            t = steps.target[unsigned(s), unsigned(d)]
            at = place[unsigned(t)] if t >= 0 else -1
            neighbour[unsigned(j), unsigned(d)] = at if at >= 0 else m
            weight[unsigned(j), unsigned(d)] = steps.chance[unsigned(s), unsigned(d)] / leaves
    return True


@compiled
def sweep_chain(
    first: Ints,
    column: Places,
    value: Floats,
    right: Floats,
    leaves: Floats,
    x: Floats,
    forward: bool,
    foreseeing: bool,
) -> None:
    """x = right + P x in place, a state at a time, with staying solved for.

    Row s of P has the entries ``value`` at ``column`` from ``first[s]`` to ``first[s + 1]``; leaves [S] is 1 - P[s, s].
    Foreseeing: states that come later are taken to move by as much as each one (see ``stencil.foresee``).
    """
    n_states = len(x)
    for k in range(n_states):
        s = k if forward else n_states - 1 - k
        total, later = right[unsigned(s)], 0.0
        for i in range(first[unsigned(s)], first[unsigned(s + 1)]):
            t = column[unsigned(i)]
            if t != s:
                total += value[unsigned(i)] * x[unsigned(t)]
                later += value[unsigned(i)] if (t > s) == forward else 0.0
        new = total / leaves[unsigned(s)]
        if foreseeing:
            new = max(0.0, x[unsigned(s)] + (new - x[unsigned(s)]) / (1.0 - min(later / leaves[unsigned(s)], FORESEEN)))
        x[unsigned(s)] = new
