"""From a world's rules to its outcome table: what every action in every cell leads to.

One pass over whole arrays for each action and each way in which its move can turn out (slip x wind), so that a
map of a million cells takes about a second. Probabilities and rewards stay fractions; they become floats in the model.
"""

from __future__ import annotations

from fractions import Fraction
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rlgrid.schema import Reward
from rlgrid.world import HEADINGS, MOVES, World

Ints = NDArray[np.int32]


class Outcome(NamedTuple):
    """One thing that can happen, but for where it leads."""

    probability: Fraction
    reward: Reward
    terminated: bool


class OutcomeTable(NamedTuple):
    """Outcomes of all rows ``state * n_actions + action``, one after the other.

    first [S A + 1]: where each row begins; next_state [N]; code [N]: index into ``outcomes``.
    """

    first: NDArray[np.int64]
    next_state: Ints
    code: NDArray[np.integer]
    outcomes: tuple[Outcome, ...]


def compile_world(world: World) -> OutcomeTable:
    """Apply the rules in their order: terminal, exit, leave, slip, wind, edge, block, reward, enter_to."""
    return _Compiler(world).table()


class _Way(NamedTuple):
    """One way a move can turn out: its probability, the move made, and the change of the wind."""

    probability: Fraction
    move: tuple[int, int]
    gust: int


def ways(world: World, action: str) -> list[_Way]:
    """What slip and wind can make of an action; equal ways are one."""
    merged: dict[tuple[tuple[int, int], int], Fraction] = {}
    varies = (world.wind and world.wind.varies) or {"0": Fraction(1)}
    for move, p in _slips(world, action):
        for gust, q in varies.items():
            key = (move, int(gust))
            merged[key] = merged.get(key, Fraction(0)) + p * q
    return [_Way(p, move, gust) for (move, gust), p in merged.items() if p]


def _slips(world: World, action: str) -> list[tuple[tuple[int, int], Fraction]]:
    slip = world.slip
    if slip is None or (slip.turn is not None and action == "stay"):
        return [(MOVES[action], Fraction(1))]
    if slip.turn is not None:
        names = list(HEADINGS)
        heading = names.index(action)
        turned = [names[(heading + int(degrees) // 45) % 8] for degrees in slip.turn]
        return [(MOVES[name], p) for name, p in zip(turned, slip.turn.values(), strict=True)]
    assert slip.random is not None
    others = [name for name in world.actions if name != action]
    share = slip.random / len(others)
    return [(MOVES[action], 1 - slip.random), *((MOVES[name], share) for name in others)]


class _Compiler:
    """Arrays and tables shared by the passes over one world."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.n_rows, self.n_cols = world.shape
        self.n_states = world.n_states
        self.symbols = list(world.legend)
        self.cells = list(world.legend.values())
        codes = np.array([ord(s) for s in self.symbols], dtype=np.uint32)
        order = np.argsort(codes)
        self.kind = order.astype(np.int32)[np.searchsorted(codes[order], world.symbols)]
        self.wall = np.array([cell.wall for cell in self.cells])
        self.targets = {s: world.where(s).astype(np.int32) for s in {c.enter_to for c in self.cells if c.enter_to}}
        self.targets |= {s: world.where(s).astype(np.int32) for s in {c.leave.to for c in self.cells if c.leave}}
        prices = [world.reward.action.get(action) for action in world.actions]
        self.prices = list(dict.fromkeys(prices))
        self.price_of = [self.prices.index(price) for price in prices]
        n = len(self.cells)
        # An event says what is paid: landing on a kind; blocker x own kind; leaving; exiting; rest.
        self.blocked_at, self.leave_at = n, n + (n + 1) * n
        self.exit_at, self.rest = self.leave_at + n, self.leave_at + 2 * n
        self.n_events = self.rest + 1
        self.payments: dict[tuple[Reward, bool], int] = {}
        self.payment_of = np.full(self.n_events * len(self.prices), -1, dtype=np.int32)
        self.levels: dict[Fraction, int] = {}

    # -- what an event pays ------------------------------------------------------------------------------------------

    def _enter_reward(self, kind: int) -> Reward:
        rules, enter = self.world.reward, self.cells[kind].enter
        if enter is None:
            return rules.step
        return rules.step + enter if rules.enter_adds_step else enter

    def _bump_reward(self, blocker: int, own: int) -> Reward:
        rules = self.world.reward
        bump = self.cells[blocker].bump if blocker < len(self.cells) else None
        bump = rules.bump if bump is None else bump
        if bump is None:
            return self._enter_reward(own)
        enter = self.cells[own].enter
        return bump + enter if rules.bump_adds_cell and enter is not None else bump

    def _event(self, event: int) -> tuple[Reward, bool]:
        """The reward of an event and whether it ends the episode."""
        n = len(self.cells)
        if event == self.rest:
            return Reward((Fraction(0),)), True
        if event >= self.exit_at:
            reward = self.cells[event - self.exit_at].exit
            assert reward is not None
            return reward, True
        if event >= self.leave_at:
            leave = self.cells[event - self.leave_at].leave
            assert leave is not None
            to = self.symbols.index(leave.to)
            return self._enter_reward(to) if leave.reward is None else leave.reward, self.cells[to].terminal
        if event >= self.blocked_at:
            return self._bump_reward(*divmod(event - self.blocked_at, n)), False
        enter_to = self.cells[event].enter_to
        rests_in = self.cells[event] if enter_to is None else self.world.legend[enter_to]
        return self._enter_reward(event), rests_in.terminal

    def _payments(self, events: Ints, price_class: int) -> Ints:
        """Replace events by what they pay, so that outcomes that pay alike can be merged."""
        offset = price_class * self.n_events
        for event in np.flatnonzero(np.bincount(events, minlength=self.n_events)):
            if self.payment_of[offset + event] < 0:
                reward, terminated = self._event(int(event))
                price = self.prices[price_class]
                reward = reward + price if price is not None and event != self.rest else reward
                payment = self.payments.setdefault((reward, terminated), len(self.payments))
                self.payment_of[offset + event] = payment
        return self.payment_of[offset + events]

    def _level(self, probability: Fraction) -> int:
        return self.levels.setdefault(probability, len(self.levels))

    # -- where a move leads ------------------------------------------------------------------------------------------

    def _push(self, gust: int) -> tuple[Ints, Ints]:
        """The wind's row step by column and column step by row; a gust is felt only where there is wind."""
        wind = self.world.wind

        def strength(key: str, length: int) -> Ints:
            base = np.array(getattr(wind, key, None) or np.zeros(length), dtype=np.int32)
            return np.where(base != 0, base + gust, 0).astype(np.int32)

        return strength("down", self.n_cols) - strength("up", self.n_cols), strength("right", self.n_rows) - strength(
            "left", self.n_rows
        )

    def _land(self, way: _Way) -> tuple[Ints, Ints]:
        """Next state and event of one way for every cell as if all were ordinary floor; both [S]."""
        n_rows, n_cols, n_kinds = self.n_rows, self.n_cols, len(self.cells)
        push_row, push_col = self._push(way.gust)
        row = (np.arange(n_rows, dtype=np.int32) + way.move[0])[:, None] + push_row[None, :]
        col = (np.arange(n_cols, dtype=np.int32) + way.move[1])[None, :] + push_col[:, None]
        blocked = (row < 0) | (row >= n_rows) | (col < 0) | (col >= n_cols)
        own = np.arange(self.n_states, dtype=np.int32)
        landing = (np.clip(row, 0, n_rows - 1) * n_cols + np.clip(col, 0, n_cols - 1)).ravel()
        blocked = blocked.ravel()
        if self.world.edge == "clip":
            blocked &= landing == own
        else:
            landing = np.where(blocked, own, landing)
        kind = self.kind[landing]
        walled = self.wall[kind] & ~blocked
        blocker = np.where(blocked, n_kinds, kind)
        blocked |= walled
        event = np.where(blocked, self.blocked_at + blocker * n_kinds + self.kind, kind).astype(np.int32)
        return np.where(blocked, own, landing).astype(np.int32), event

    def _teleport(self, landing: Ints, event: Ints) -> None:
        """Send on who entered an ``enter_to`` cell; many targets are one number >= S until outcomes are merged."""
        for kind, cell in enumerate(self.cells):
            if cell.enter_to:
                landing[event == kind] = self._target(cell.enter_to)

    def _target(self, symbol: str) -> int:
        states = self.targets[symbol]
        return int(states[0]) if len(states) == 1 else self.n_states + self.symbols.index(symbol)

    def _special_cells(self) -> list[tuple[NDArray[np.int64], Ints, int]]:
        """Cells in which every action does the same: the cells, where they lead, and the event."""
        special = []
        for kind, cell in enumerate(self.cells):
            states = (
                np.flatnonzero(self.kind == kind) if cell.wall or cell.terminal or cell.exit or cell.leave else None
            )
            if states is None:
                continue
            there = states.astype(np.int32)
            if cell.wall or cell.terminal:
                special.append((states, there, self.rest))
            elif cell.exit is not None:
                special.append((states, there, self.exit_at + kind))
            elif cell.leave is not None:
                special.append((states, np.full_like(there, self._target(cell.leave.to)), self.leave_at + kind))
        return special

    # -- putting rows together ---------------------------------------------------------------------------------------

    def _action_rows(self, action: int) -> tuple[list[Ints], list[Ints], list[Ints], list[NDArray[np.bool_]]]:
        """For each way of one action: next state, payment, probability level and whether it still stands, each [S]."""
        all_ways = ways(self.world, self.world.actions[action])
        nexts, payments, levels, alive = [], [], [], []
        for number, way in enumerate(all_ways):
            landing, event = self._land(way)
            self._teleport(landing, event)
            stands = np.ones(self.n_states, dtype=np.bool_)
            level = np.full(self.n_states, self._level(way.probability), dtype=np.int32)
            for states, there, special_event in self.special:
                landing[states], event[states] = there, special_event
                level[states], stands[states] = self._level(Fraction(1)), number == 0
            nexts.append(landing)
            payments.append(self._payments(event, self.price_of[action]))
            levels.append(level)
            alive.append(stands)
        for k, way in enumerate(all_ways):
            for j in range(k):
                same = alive[j] & alive[k] & (nexts[j] == nexts[k]) & (payments[j] == payments[k])
                if same.any():
                    levels[j][same] = self._raise_levels(levels[j][same], way.probability)
                    alive[k] &= ~same
        return nexts, payments, levels, alive

    def _raise_levels(self, levels: Ints, probability: Fraction) -> Ints:
        """Levels after adding a probability to each."""
        known = list(self.levels)
        raised = np.zeros(len(known), dtype=np.int32)
        for level in np.flatnonzero(np.bincount(levels)):
            raised[level] = self._level(known[level] + probability)
        return raised[levels]

    def table(self) -> OutcomeTable:
        self.special = self._special_cells()
        n_actions = self.world.n_actions
        depth = max(len(ways(self.world, action)) for action in self.world.actions)
        shape = (self.n_states, n_actions, depth)
        next_state = np.zeros(shape, dtype=np.int32)
        payment = np.zeros(shape, dtype=np.int32 if len(self.payment_of) > 30_000 else np.int16)
        level = np.zeros(shape, dtype=np.int16)
        stands = np.zeros(shape, dtype=np.bool_)
        for a in range(n_actions):
            for k, arrays in enumerate(zip(*self._action_rows(a), strict=True)):
                next_state[:, a, k], payment[:, a, k], level[:, a, k], stands[:, a, k] = arrays
        counts = stands.sum(axis=2, dtype=np.int64).ravel()
        return self._with_codes(counts, next_state[stands], payment[stands], level[stands])

    def _with_codes(
        self, counts: NDArray[np.int64], next_state: Ints, payment: NDArray[np.integer], level: NDArray[np.integer]
    ) -> OutcomeTable:
        if (next_state >= self.n_states).any():
            counts, next_state, payment, level = self._spread(counts, next_state, payment, level)
        first = np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)])
        key = level.astype(np.int32) * len(self.payments) + payment
        present = np.flatnonzero(np.bincount(key))
        code_of = np.zeros(len(self.levels) * len(self.payments), dtype=np.uint16)
        code_of[present] = np.arange(len(present))
        levels, payments = list(self.levels), list(self.payments)
        outcomes = tuple(
            Outcome(levels[k // len(payments)], *payments[k % len(payments)]) for k in (int(k) for k in present)
        )
        return OutcomeTable(first, next_state, code_of[key], outcomes)

    def _spread(
        self, counts: NDArray[np.int64], next_state: Ints, payment: NDArray[np.integer], level: NDArray[np.integer]
    ) -> tuple[NDArray[np.int64], Ints, NDArray[np.integer], NDArray[np.integer]]:
        """Turn each outcome with many targets into one outcome for each target, drawn uniformly."""
        copies = np.ones(len(next_state), dtype=np.int64)
        for symbol, states in self.targets.items():
            copies[next_state == self.n_states + self.symbols.index(symbol)] = len(states)
        row = np.repeat(np.arange(len(counts)), counts)
        source = np.repeat(np.arange(len(next_state)), copies)
        offset = np.arange(len(source)) - np.repeat(np.cumsum(copies) - copies, copies)
        spread_next, spread_level = next_state[source], level[source].astype(np.int16)
        known = list(self.levels)
        for symbol, states in self.targets.items():
            here = spread_next == self.n_states + self.symbols.index(symbol)
            shares = np.array([self._level(p / len(states)) for p in known], dtype=np.int16)
            spread_next[here] = states[offset[here]]
            spread_level[here] = shares[spread_level[here]]
        counts = np.bincount(row[source], minlength=len(counts))
        return counts, spread_next, payment[source], spread_level
