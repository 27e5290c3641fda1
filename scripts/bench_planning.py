"""Measure planning against QuantEcon, Storm, mdpsolver, pymdptoolbox and SciPy; exit with 1 where a bar is missed.

    pip install "rlgrid[bench]"
    python scripts/bench_planning.py [--repeats 5] [--quick] [--json]

The world: n x n cells, 20 % of them walls at random, slip 0.2 to the sides, one terminal goal, -0.04 a step. Every
contestant gets the compiled model in its own form and is asked for values within 1e-6, which rlgrid certifies; what it
takes to build the form is not counted, rlgrid's stencil is. Open rooms without walls, -1 a step, also at discount 1,
are for Storm. Models that are no grid, with next states anywhere or near, are for QuantEcon, whose plan has a policy.
Figures are medians; runs of half a minute and more are single ones. ``--quick`` leaves out those that take minutes.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from rich.console import Console
from rich.table import Table
from scipy.sparse import csr_matrix, vstack

import rlgrid
from rlgrid import TabularModel

#: Seconds after which a run is not repeated.
LONG = 30.0

TOL = 1e-6
GROWTH_BAR, MEMORY_BAR, SMALL_BAR = 3.0, 64.0, 300e-6

#: Discount 1 to discount 0.99; what stands beside an optimum to the optimum; GiB.
UNDISCOUNTED_BAR, BESIDE_BAR, ROOM_BAR = 3.0, 4.0, 1.0


class Result(NamedTuple):
    """One line of the table."""

    what: str
    ours: float
    peer: str
    theirs: float | None
    bar: float | None


def model_of(n: int) -> TabularModel:
    world = rlgrid.generate_world("obstacles", (n, n), 3, density=0.2, slip=0.2, step_reward=-0.04)
    return TabularModel.from_world(world)


def seconds(run: Callable[[], Any], repeats: int) -> tuple[float, Any]:
    """The median of several runs, or the first one where it is long, and what the last one gave."""
    taken, found = [], None
    while len(taken) < repeats and sum(taken) < LONG:
        begin = time.perf_counter()
        found = run()
        taken.append(time.perf_counter() - begin)
    return statistics.median(taken), found


def ours(model: TabularModel, discount: float, repeats: int) -> tuple[float, Any]:
    rlgrid.solve(model, discount=discount, tol=TOL)
    taken, plan = seconds(lambda: rlgrid.solve(model, discount=discount, tol=TOL), repeats)
    assert plan.bound <= TOL
    return taken, plan.v


# The peers. An outcome that ends the episode leads to one more state, S, that stays and pays nothing.


def matrices(model: TabularModel) -> tuple[list[Any], Any]:
    """Transitions [S + 1, S + 1] for each action, and rewards [S + 1, A]."""
    t, n, n_actions = model.tables, model.n_states, model.n_actions
    row, target = model.row_of_outcome, np.where(t.terminated[t.code], model.n_states, t.next_state)
    transitions = []
    for a in range(n_actions):
        here = row % n_actions == a
        state = row[here] // n_actions
        entries = np.append(t.probability[t.code[here]], 1.0)
        places = np.append(state, n), np.append(target[here], n)
        transitions.append(csr_matrix((entries, places), shape=(n + 1, n + 1)))
    return transitions, np.vstack([model.expected_reward, np.zeros(n_actions)])


def quantecon(model: TabularModel, discount: float) -> Callable[[], Any]:
    from quantecon.markov import DiscreteDP

    transitions, rewards = matrices(model)
    n, n_actions = rewards.shape
    order = np.arange(n * n_actions).reshape(n_actions, n).T.ravel()  # the state first, then the action
    state, action = np.divmod(np.arange(n * n_actions), n_actions)
    process = DiscreteDP(rewards.ravel(), vstack(transitions).tocsr()[order], discount, state, action)
    return lambda: process.solve(method="modified_policy_iteration", epsilon=TOL, max_iter=10**8).v[:-1]


def mdpsolver(model: TabularModel, discount: float) -> Callable[[], Any]:
    import mdpsolver

    transitions, rewards = matrices(model)
    rows = [[m.getrow(s) for m in transitions] for s in range(len(rewards))]
    probabilities = [[r.data.tolist() for r in actions] for actions in rows]
    columns = [[r.indices.tolist() for r in actions] for actions in rows]

    def run() -> Any:
        process = mdpsolver.model()
        process.mdp(discount, rewards.tolist(), tranMatProbs=probabilities, tranMatColumns=columns)
        run.begun = time.perf_counter()
        process.solve(algorithm="mpi", tolerance=TOL)
        run.taken = time.perf_counter() - run.begun
        return np.array(process.getValueVector())[:-1]

    return run


def toolbox(model: TabularModel, discount: float) -> Callable[[], Any]:
    from mdptoolbox.mdp import PolicyIterationModified

    transitions, rewards = matrices(model)

    def run() -> Any:
        process = PolicyIterationModified(transitions, rewards, discount, epsilon=TOL, max_iter=10**6)
        process.run()
        return np.array(process.V)[:-1]

    return run


def plain_scipy(model: TabularModel, discount: float) -> Callable[[], Any]:
    transitions, rewards = matrices(model)

    def run() -> Any:
        v = np.zeros(len(rewards))
        while True:
            new = np.max([rewards[:, a] + discount * (m @ v) for a, m in enumerate(transitions)], axis=0)
            change, v = np.abs(new - v).max(), new
            if discount * change <= TOL * (1 - discount):
                return v[:-1]

    return run


def against(
    results: list[Result], n: int, discount: float, peers: dict[str, Any], bars: dict[str, float], repeats: int
) -> None:
    """Solve one world by everyone, and compare the values."""
    model = model_of(n)
    taken, v = ours(model, discount, repeats)
    for name, make in peers.items():
        run = make(model, discount)
        theirs, values = seconds(run, repeats)
        theirs = getattr(run, "taken", theirs)  # without what a peer takes to read lists
        apart = np.abs(values - v).max()
        if apart > 100 * TOL:
            print(f"{name}: its values are {apart:.1g} from ours", file=sys.stderr)
        results.append(Result(f"{n} x {n}, discount {discount:g}", taken, name, theirs, bars.get(name)))


# Open rooms against Storm, which stops at 1e-6 of each value.


def room(n: int) -> TabularModel:
    """n x n free cells, slip .8/.1/.1, -1 a step, a goal in the corner."""
    cells = [["."] * n for _ in range(n)]
    cells[0][0], cells[-1][-1] = "S", "G"
    drawn = "\n".join("".join(row) for row in cells)
    world = rlgrid.World.from_toml(
        f'name = "room_{n}x{n}"\nactions = ["up", "right", "down", "left"]\nmap = """\n{drawn}\n"""\n'
        "reward.step = -1\ncells.G = { terminal = true }\nslip.turn = { 0 = 0.8, 90 = 0.1, -90 = 0.1 }\n"
    )
    return TabularModel.from_world(world)


def in_storms_words(model: TabularModel) -> str:
    """The model as a text that Storm reads: costs, and one more state in which all is done."""
    t, n, n_actions = model.tables, model.n_states, model.n_actions
    lines: list[str] = []
    for s in range(n):
        lines.append(f"state {s} [0]{' init' if s == 0 else ''}")
        for a in range(n_actions):
            shares: dict[int, float] = {}
            for i in range(t.first[s * n_actions + a], t.first[s * n_actions + a + 1]):
                target = n if t.terminated[t.code[i]] else int(t.next_state[i])
                shares[target] = shares.get(target, 0.0) + float(t.probability[t.code[i]])
            lines.append(f"\taction {a} [{-float(model.expected_reward[s, a])!r}]")
            lines += [f"\t\t{target} : {share!r}" for target, share in sorted(shares.items())]
    lines += [f"state {n} [0] done", "\taction 0 [0]", f"\t\t{n} : 1", ""]
    head = ["@type: MDP", "@parameters", "", "@reward_models", "cost", "@nr_states", str(n + 1), "@nr_choices"]
    return "\n".join([*head, str(n * n_actions + 1), "@model", *lines])


def storm(model: TabularModel, discount: float) -> Callable[[], Any]:
    """At discount 1 value iteration, the fastest of Storm's methods on these; below it, Storm's own choice."""
    import stormpy
    from stormpy import environments

    with tempfile.NamedTemporaryFile("w", suffix=".drn") as file:
        file.write(in_storms_words(model))
        file.flush()
        process = stormpy.build_model_from_drn(file.name)
    environment = stormpy.Environment()
    wanted = f"Cdiscount={discount!r}"
    if discount == 1:
        wanted = 'F "done"'
        environment.solver().min_max().method = environments.MinMaxMethod.VALUE_ITERATION
    least_cost = stormpy.parse_properties(f'R{{"cost"}}min=? [{wanted}]')[0]
    return lambda: stormpy.model_checking(process, least_cost, environment=environment)


def rooms_against_storm(results: list[Result], repeats: int) -> None:
    """Both to 1e-6 of the largest value; rlgrid certifies it, without the policy and with it."""
    for n, discount, bar in ((100, 1.0, 5), (300, 1.0, 20), (100, 0.99, 8), (300, 0.9999, 20)):
        model = room(n)
        tol = TOL * float(np.abs(rlgrid.solve(model, discount=discount, tol=1e-2).v).max())
        ask = partial(rlgrid.solve, model, discount=discount, tol=tol)
        taken, plan = seconds(ask, 4 * repeats)
        with_policy, _ = seconds(lambda ask=ask: ask().policy, 4 * repeats)
        theirs, costs = seconds(storm(model, discount), repeats)
        assert plan.bound <= tol
        apart = np.abs([costs.get_value(s) for s in range(model.n_states)] + plan.v).max()
        if apart > 100 * tol:
            print(f"Storm: its values are {apart:.1g} from ours", file=sys.stderr)
        what = f"room {n} x {n}, discount {discount:g}"
        results.append(Result(what, taken, "Storm", theirs, bar))
        results.append(Result(f"{what}, with its policy", with_policy, "Storm", theirs, bar))


# Models that are no grid: four actions with five outcomes each, probabilities and rewards at random.


def no_grid(n: int, near: int | None) -> tuple[Any, Any]:
    """Transitions [4 S, S] and rewards [S, 4]; next states anywhere, or within a distance."""
    rng = np.random.default_rng(0)
    to = rng.integers(0, n, (n, 4, 5)) if near is None else rng.integers(-near, near + 1, (n, 4, 5))
    if near is not None:
        to = np.clip(np.arange(n)[:, None, None] + to, 0, n - 1)
    p = rng.dirichlet(np.ones(5), (n, 4))
    P = csr_matrix((p.ravel(), to.ravel().astype(np.int32), np.arange(0, p.size + 1, 5)), shape=(4 * n, n))
    return P, rng.random((n, 4))


def no_grid_against_quantecon(results: list[Result], repeats: int, *, quick: bool) -> None:
    """Both to 1e-6; rlgrid certifies it, without the policy and with it."""
    from quantecon.markov import DiscreteDP

    cases = ((20_000, None, 0.99, 3), (100_000, None, 0.999, 2), (20_000, 50, 0.99, 8))
    if not quick:
        cases += ((10**6, None, 0.99, 2), (100_000, 50, 0.999, 10))
    for n, near, discount, bar in cases:
        P, R = no_grid(n, near)
        model = TabularModel.from_pairs(P, R)
        process = DiscreteDP(R.ravel(), P, discount, *np.divmod(np.arange(4 * n), 4))
        peer = partial(process.solve, method="modified_policy_iteration", epsilon=TOL, max_iter=10**8)
        ask = partial(rlgrid.solve, model, discount=discount, tol=TOL)
        peer(), ask().policy
        taken, plan = seconds(ask, 4 * repeats)
        with_policy, _ = seconds(lambda ask=ask: ask().policy, 4 * repeats)
        theirs, found = seconds(peer, repeats)
        assert plan.bound <= TOL
        if (apart := np.abs(found.v - plan.v).max()) > 100 * TOL:
            print(f"QuantEcon: its values are {apart:.1g} from ours", file=sys.stderr)
        what = f"{n:,} states, next ones {'anywhere' if near is None else f'within {near}'}, discount {discount:g}"
        results.append(Result(what, taken, "QuantEcon modified policy iteration", theirs, bar))
        results.append(
            Result(f"{what}, with its policy", with_policy, "QuantEcon modified policy iteration", theirs, bar)
        )


# Every exact quantity on a million cells.


def a_million_cells(repeats: int) -> dict[str, tuple[float, float]]:
    """Ratios of times on 1000 x 1000 cells: to discount 0.99, and to the optimum at the same discount."""
    model, facts, taken = room(1000), {}, {}
    for discount in (0.99, 1.0):
        for epsilon in (0.0, 0.1):
            ask = partial(rlgrid.solve, model, discount=discount, tol=TOL, epsilon=epsilon)
            taken[discount, epsilon], plan = seconds(ask, repeats)
            judge = partial(rlgrid.evaluate_policy, model, plan.policy, discount=discount, tol=TOL)
            again, judged = seconds(judge, repeats)
            assert max(plan.bound, judged.bound) <= TOL
            which = f"epsilon {epsilon:g}, discount {discount:g}"
            if epsilon:
                facts[f"1000 x 1000, {which}: to the optimum"] = (
                    taken[discount, epsilon] / taken[discount, 0.0],
                    BESIDE_BAR,
                )
            facts[f"1000 x 1000, {which}: its evaluation to it"] = (again / taken[discount, epsilon], BESIDE_BAR)
    facts["1000 x 1000: discount 1 to 0.99"] = (taken[1.0, 0.0] / taken[0.99, 0.0], UNDISCOUNTED_BAR)
    facts["1000 x 1000, discount 1: GiB beyond the model"] = (memory(model, 1.0) * model.n_states / 2**30, ROOM_BAR)
    return facts


def memory(model: TabularModel, discount: float) -> float:
    """Bytes a state that solving takes beyond the model, at its peak."""
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    rlgrid.solve(model, discount=discount, tol=TOL)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return (peak - before) / model.n_states


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="leave out what takes minutes")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    mpi = "QuantEcon modified policy iteration"
    all_peers: dict[str, Any] = {
        mpi: quantecon,
        "mdpsolver": mdpsolver,
        "pymdptoolbox": toolbox,
        "SciPy value iteration": plain_scipy,
    }
    results: list[Result] = []
    try:
        against(results, 100, 0.99, all_peers, {}, options.repeats)
        if not options.quick:
            against(results, 1000, 0.99, {mpi: quantecon}, {mpi: 50}, options.repeats)
            against(results, 300, 0.9999, {mpi: quantecon}, {mpi: 1000}, options.repeats)
        rooms_against_storm(results, options.repeats)
        no_grid_against_quantecon(results, options.repeats, quick=options.quick)
    except ImportError as error:
        print(f'{error}; the peers come with: pip install "rlgrid[bench]"', file=sys.stderr)
        return 2
    sizes = (100, 1000, 3000)
    growth = {n: ours(model_of(n), 0.99, options.repeats if n < 3000 else 1)[0] / n**2 for n in sizes}
    small = TabularModel.from_world(rlgrid.load_world("zhao_5x5"))
    rlgrid.solve(small)
    small_seconds, _ = seconds(lambda: rlgrid.solve(small), 1000)
    facts = {
        "growth of time a state, 10^4 to 9 x 10^6": (max(growth.values()) / growth[100], GROWTH_BAR),
        "bytes a state, 10^6 states": (memory(model_of(1000), 0.99), MEMORY_BAR),
        "zhao_5x5, us": (small_seconds * 1e6, SMALL_BAR * 1e6),
    } | a_million_cells(options.repeats)
    met = all(r.bar is None or r.theirs / r.ours >= r.bar for r in results) and all(a <= b for a, b in facts.values())
    if options.json:
        rows = [r._asdict() for r in results]
        print(json.dumps({"against": rows, "facts": {k: a for k, (a, _) in facts.items()}, "all_met": met}, indent=2))
    else:
        show(results, facts)
    return 0 if met else 1


def show(results: list[Result], facts: dict[str, tuple[float, float]]) -> None:
    table = Table(title="Seconds to values certified within 1e-6")
    for title in ("world", "rlgrid", "peer", "", "ratio", "bar"):
        table.add_column(title, justify="left" if title in ("world", "peer") else "right")
    for r in results:
        bar = f">= {r.bar:g}" if r.bar else ""
        table.add_row(r.what, f"{r.ours:.3g}", r.peer, f"{r.theirs:.3g}", f"{r.theirs / r.ours:,.0f}", bar)
    Console().print(table)
    more = Table("figure", "rlgrid", "bar")
    for name, (value, bar) in facts.items():
        more.add_row(name, f"{value:.3g}", f"<= {bar:g}")
    Console().print(more)


if __name__ == "__main__":
    sys.exit(main())
