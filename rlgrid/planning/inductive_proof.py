"""Proofs of values at discount 1 by induction over the steps of an episode: two vectors that enclose v*, no graph.

q_w(s, a) = r(s, a) + sum of p(s') w(s') over the outcomes that go on; outcomes that end are worth 0. Every state has a
row, and the probabilities of a row add up to 1 with those of its ends.

Theorem. If u(s) >= q_u(s, a) for every action, strictly wherever u(s) < 0, no policy is worth more than u. If
l(s) <= q_l(s, a) for some action, strictly wherever l(s) > 0, the policy of these actions is worth l or more. So
l <= v* <= u, whatever policies end or not.

Proof. Take any policy, and add u(s) >= q_u(s, a) up along its episodes. After n steps the rewards amount to at most
u(s) - E[u(S_n)] - (the sum of u - q_u at all states passed), where an episode that has ended counts 0. With N the
states where u < 0, m = max |u| and d > 0 the least u - q_u there, this is at most u(s) + m P(S_n in N) - d (expected
visits of N before n). If these visits are finite in number, P(S_n in N) goes to 0, and what is collected has an upper
limit of at most u(s). Otherwise it goes to minus infinity. The lower part is the same with the signs reversed: what is
collected has a lower limit of at least l(s), or goes to infinity. Only the actions of one policy being looked at, the
same encloses the values of a given policy.

Why "strictly": who may stay for 0, or end for -1, is worth 0, but u = -1 satisfies u >= q_u. In a cycle that pays +1
and -1, u = (c + 1, c) does for every c.

Rounding. The proofs here have strict inequalities everywhere: the margin has to exceed the rounding error of the
check, which covers the numbers as stored and those that they were rounded from
(:func:`rlgrid.planning.certificate.accuracy_of`). Where u and l are v moved by a multiple of x they are never rounded:
with |q_v(s, a) - v(s)| known, their inequalities follow in real numbers. Being strict for both vectors, they also show
that a policy that does not end is worth minus infinity: so v* is one number by every definition of a value, and actions
that are the best but for less than the margin of l make a policy that ends.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from rlgrid.arrays import Floats

#: Sums of probabilities further from 1 than this are not those of rounded numbers.
MOST_DEVIATION = 2.0**-40

#: How far the least cost is lowered for the rounding of sums that it is found by, relative to these.
_ROUNDING = 2.0**-40

#: Candidates for the least cost that are tried: each is this much less than the one before.
_CANDIDATES, _LESS = 24, 0.5


class Costs(NamedTuple):
    """What rows cost, where those that cannot end all cost something."""

    closed: float  # least cost, -r in mean, of a row that cannot end the episode; infinite: there is none
    some: bool  # whether one of these costs something, or there is none
    pays: Floats  # [K] mean rewards of the rows that can
    ending: Floats  # [K] their chances to end
    deviation: float  # how far the probabilities of a row are from adding up to 1, at most

    @property
    def greatest(self) -> float:
        """The largest number that the costs are found by."""
        return float(np.abs(self.pays).max(initial=0.0))


def costs_of(reward: Floats, ending: Floats, deviation: float) -> Costs:
    """The costs of rows, with mean rewards [R] (-inf: not available) and chances to end [R]."""
    ends = (ending > 0) & (reward > -np.inf)
    pairs = np.unique(np.stack([reward[ends], ending[ends]]), axis=1)
    cost = -reward[(ending == 0) & (reward > -np.inf)]
    return Costs(float(cost.min(initial=np.inf)), not len(cost) or bool(cost.max() > 0), pairs[0], pairs[1], deviation)


def bound_from_costs(costs: Costs, error: float, lowest: float) -> float:
    """A bound on |v - v*| where every step costs c or more, once an end is worth -M; infinity: this proves nothing.

    ``error`` is more than max |q_v(s, a) - v(s)| over the best actions, and more than q_v(s, a) - v(s) over all;
    ``lowest`` is min v.

    With x = M - v and e(s, a) the chance to end, x - P x = M e - r - (v - q_v) for every action, where M e - r >= c for
    all rows. So u = v + d x has u - q_u >= d c - (1 - d) error, and l = v - d x has q_l - l >= d c - (1 + d) error for
    the best action: both are positive for d = error / (c - error), with a little more for the rounding of d itself. The
    bound is d max x. Where r <= -c everywhere, M = 0 makes it relative: u = (1 - d) v and l = (1 + d) v.
    """
    if not 0 < costs.closed < np.inf:
        return np.inf
    best = np.inf
    for k in range(_CANDIDATES):
        c = costs.closed * _LESS**k
        worth = float(((costs.pays + c) / costs.ending).max(initial=-np.inf))
        if not abs(worth) < np.inf:
            return np.inf
        certain = c - _ROUNDING * (c + costs.greatest + abs(worth)) - costs.deviation * abs(worth)
        if certain <= 3.0 * error:
            break
        best = min(best, 1.000001 * error / (certain - error) * max(worth - lowest, 0.0))
    return best
