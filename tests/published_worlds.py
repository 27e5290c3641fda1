"""The published results, and their worlds as rlgrid worlds and models."""

from __future__ import annotations

import json
import re
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlgrid.models.model import TabularModel
from rlgrid.worlds.world import World

PUBLISHED: dict[str, dict[str, Any]] = {
    entry["id"]: entry for entry in json.loads((Path(__file__).parent / "published.json").read_text(encoding="utf-8"))
}

ACTIONS = {"U": "up", "R": "right", "D": "down", "L": "left", "S": "stay"} | {
    "UL": "up-left",
    "UR": "up-right",
    "DL": "down-left",
    "DR": "down-right",
}


def published_world(entry: dict[str, Any]) -> World:
    """The world of an entry whose kind is "grid"."""
    world = entry["world"]
    rules = world["reward"]
    cells: dict[str, dict[str, object]] = {symbol: {} for row in world["map"] for symbol in row if symbol not in ".#S"}
    for symbol in world.get("terminal", ""):
        cells[symbol]["terminal"] = "true"
    for symbol in cells.keys() & rules.get("enter", {}).keys():
        cells[symbol]["enter"] = rules["enter"][symbol]
    for symbol, reward in world.get("exit", {}).items():
        cells[symbol]["exit"] = reward
    for symbol, (to, reward) in world.get("teleport_from", {}).items():
        cells[symbol]["leave"] = f'{{ to = "{to}", reward = {reward} }}'
    for symbol, (to,) in world.get("teleport_on_enter", {}).items():
        cells[symbol]["enter_to"] = f'"{to}"'
    flags = [f"{key} = true" for key in ("bump_adds_cell", "enter_adds_step") if rules.get(key)]
    lines = [
        f'name = "{entry["id"]}"',
        f"discount = {entry.get('gamma', 1)}",
        f"actions = {[ACTIONS[a] for a in world['actions']]}",
        f'edge = "{"clip" if "wind" in world else "stay"}"',
        "map = '''\n" + "\n".join(world["map"]) + "\n'''",
        "[reward]",
        *(f"{key} = {rules[key]}" for key in ("step", "bump") if key in rules),
        *flags,
        "[cells]",
        *(f"{s} = {{ {', '.join(f'{k} = {v}' for k, v in meaning.items())} }}" for s, meaning in cells.items()),
    ]
    if "slip" in world:
        intended = Fraction(world["slip"]["p_intended"]).limit_denominator(1000)
        side = (1 - intended) / 2
        lines += ["[slip]", f'turn = {{ 0 = "{intended}", 90 = "{side}", -90 = "{side}" }}']
    if "wind" in world:
        lines += ["[wind]", f"up = {world['wind']}"]
        lines += ['varies = { -1 = "1/3", 0 = "1/3", 1 = "1/3" }'] if world["wind_stochastic"] else []
    return World.from_toml("\n".join(lines), where=entry["id"])


def published_policy(entry: dict[str, Any]) -> NDArray[np.float64]:
    """The policy of an entry, [S, A]: "uniform", or one letter for each cell, or several such as (r|d)."""
    world = entry["world"]
    letters = world["actions"]
    n_states = len(world["map"]) * len(world["map"][0])
    if entry["policy"] == "uniform":
        return np.full((n_states, len(letters)), 1 / len(letters))
    cells = [cell for row in entry["policy"] for cell in re.findall(r"\(.*?\)|\w", row)]
    policy = np.zeros((n_states, len(letters)))
    for state, cell in enumerate(cells):
        chosen = [letters.index(letter.upper()) for letter in cell.strip("()").split("|")]
        policy[state, chosen] = 1 / len(chosen)
    return policy


def soft(policy: NDArray[np.float64], epsilon: float) -> NDArray[np.float64]:
    """A policy mixed with epsilon times the uniform one."""
    return (1 - epsilon) * policy + epsilon / policy.shape[1]


def gambler(p_heads: float) -> TabularModel:
    """Capital 0 to 100, stakes 1 to 50 as actions 0 to 49; reaching 100 pays 1 (Sutton & Barto, Example 4.3)."""
    P, R = np.zeros((101, 50, 101)), np.zeros((101, 50, 101))
    available = np.zeros((101, 50), np.bool_)
    for capital in range(1, 100):
        for stake in range(1, min(capital, 100 - capital) + 1):
            available[capital, stake - 1] = True
            P[capital, stake - 1, capital + stake] = p_heads
            P[capital, stake - 1, capital - stake] = 1 - p_heads
    R[:, :, 100] = 1
    terminal = np.isin(np.arange(101), [0, 100])
    return TabularModel.from_arrays(P, R, terminal=terminal, available=available, discount=1, name="gambler")


CARDS = {card: (4 if card == 10 else 1) / 13 for card in range(1, 11)}


def _draw(total: int, ace: bool, card: int) -> tuple[int, bool]:
    """Sum and usable ace after a card."""
    total, ace = (total + 11, True) if card == 1 and total + 11 <= 21 else (total + card, ace)
    return (total - 10, False) if total > 21 and ace else (total, ace)


def _dealer(total: int, ace: bool) -> dict[int, float]:
    """Distribution of the dealer's final sum; 0 where it goes bust."""
    if total > 21:
        return {0: 1.0}
    if total >= 17:
        return {total: 1.0}
    final: dict[int, float] = {}
    for card, p in CARDS.items():
        for outcome, q in _dealer(*_draw(total, ace, card)).items():
            final[outcome] = final.get(outcome, 0.0) + p * q
    return final


def blackjack() -> tuple[TabularModel, dict[tuple[int, bool, int], int]]:
    """Sums 12 to 21, usable ace, dealer's card; actions stick and hit (Sutton & Barto, Example 5.1). Last: the end."""
    states = [(total, ace, card) for card in CARDS for ace in (False, True) for total in range(12, 22)]
    number = {state: i for i, state in enumerate(states)}
    end = len(states)
    P, R = np.zeros((end + 1, 2, end + 1)), np.zeros((end + 1, 2, end + 1))
    for (total, ace, shown), s in number.items():
        final = _dealer(*_draw(0, False, shown))
        P[s, 0, end] = 1
        R[s, 0, end] = sum(p * np.sign(total - other) for other, p in final.items())
        for card, p in CARDS.items():
            after, usable = _draw(total, ace, card)
            P[s, 1, end if after > 21 else number[after, usable, shown]] += p
        R[s, 1, end] = -1
    terminal = np.arange(end + 1) == end
    return TabularModel.from_arrays(P, R, terminal=terminal, discount=1, name="blackjack"), number
