"""The solver with an executor whose results are strings: what runs, in which order, and what a failure leaves."""

from __future__ import annotations

import threading

import pytest

from builder.errors import BuildError, Cancelled
from builder.graph.graph import GraphBuilder, Note
from builder.graph.ops import CopyOp, CopySource, MkdirOp, ScratchOp, inputs
from builder.solver import keys
from builder.solver.solver import Solver


class Drawing:
    """An Executor and an Observer in one; a result is the drawing of how it was made."""

    def __init__(self, known=(), failing=()):
        self.known = dict(known)
        self.failing = set(failing)
        self.told = []
        self.barrier = None
        self.slow_started = threading.Event()

    def key(self, op, input_keys):
        return keys.plain_key(op, input_keys)

    def load(self, op, key, inputs):
        if isinstance(op, ScratchOp):
            return "scratch"
        return self.known.get(key)

    def execute(self, op, key, note, inputs, cancelled):
        if self.barrier is not None:
            self.barrier.wait(timeout=10)
        name = op.path if isinstance(op, MkdirOp) else op.dest
        if name in self.failing:
            self.slow_started.wait(timeout=10 if len(self.failing) > 1 else 0)
            raise BuildError(f"{name} failed")
        if name == "slow":
            self.slow_started.set()
            for _ in range(1000):
                if cancelled.is_set():
                    break
                threading.Event().wait(0.01)
            assert cancelled.is_set(), "nobody was told to stop"
            raise Cancelled("stopped")
        self.known[key] = f"{name}({', '.join(inputs)})"
        return self.known[key]

    def cached(self, digest):
        self.told.append(("cached", digest))

    def started(self, digest):
        self.told.append(("started", digest))

    def finished(self, digest, seconds):
        self.told.append(("finished", digest))

    def failed(self, digest, seconds, message):
        self.told.append(("failed", digest))

    def cancelled(self, digest):
        self.told.append(("cancelled", digest))

    def ran(self):
        return [digest for what, digest in self.told if what == "started"]


class Net:
    """scratch ─► base ─┬► left ──┐
    └► right ─┴► both"""

    def __init__(self):
        make = GraphBuilder()
        self.scratch = make.add(ScratchOp())
        self.base = make.add(MkdirOp(self.scratch, "base", ""), Note("s", "base", None))
        self.left = make.add(MkdirOp(self.base, "left", ""), Note("s", "left", None))
        self.right = make.add(MkdirOp(self.base, "right", ""), Note("s", "right", None))
        self.both = make.add(copy(self.left, self.right, "both"), Note("s", "both", None))
        self.unused = make.add(MkdirOp(self.base, "unused", ""))
        self.graph = make.graph([self.both])


def copy(root, source, dest):
    return CopyOp(root, (CopySource(source, ("x",)),), (), dest, None, None, (), True)


def solve(net, executor, wanted, jobs=4, cancelled=None):
    made = keys.all_keys(net.graph, executor, wanted)
    solver = Solver(net.graph, made, executor, executor, cancelled or threading.Event(), jobs)
    return solver.solve(wanted)


def test_a_result_is_made_from_the_results_of_its_inputs():
    net, executor = Net(), Drawing()

    assert solve(net, executor, [net.both])[net.both] == "both(left(base(scratch)), right(base(scratch)))"


def test_what_no_target_needs_is_not_in_the_graph():
    net = Net()

    assert net.unused not in net.graph.ops


def test_a_second_run_executes_nothing():
    net, executor = Net(), Drawing()
    solve(net, executor, [net.both])
    executor.told.clear()

    assert solve(net, executor, [net.both])[net.both].startswith("both(")
    assert executor.ran() == []


def test_a_hit_needs_its_root_but_not_its_source():
    net, executor = Net(), Drawing()
    solve(net, executor, [net.both])
    made = keys.all_keys(net.graph, executor, [net.both])
    del executor.known[made[net.right]]
    executor.told.clear()

    solve(net, executor, [net.both])

    assert executor.ran() == []


def test_a_lost_root_is_made_again_with_all_that_stands_on_it():
    net, executor = Net(), Drawing()
    solve(net, executor, [net.both])
    made = keys.all_keys(net.graph, executor, [net.both])
    del executor.known[made[net.left]]
    executor.told.clear()

    solve(net, executor, [net.both])

    assert executor.ran() == [net.left, net.both]


def test_independent_ops_run_at_the_same_time():
    net, executor = Net(), Drawing()
    solve(net, executor, [net.base])
    executor.barrier = threading.Barrier(2)  # breaks unless both are inside at once

    results = solve(net, executor, [net.left, net.right])

    assert {results[net.left], results[net.right]} == {"left(base(scratch))", "right(base(scratch))"}


def test_a_failure_stops_the_siblings_and_is_the_error_that_is_raised():
    make = GraphBuilder()
    scratch = make.add(ScratchOp())
    bad, slow = make.add(MkdirOp(scratch, "bad", "")), make.add(MkdirOp(scratch, "slow", ""))
    net = type("N", (), {"graph": make.graph([bad, slow])})
    executor = Drawing(failing=["bad", "after slow has begun"])

    with pytest.raises(BuildError, match="bad failed"):
        solve(net, executor, [bad, slow])
    assert ("cancelled", slow) in executor.told


def test_finished_siblings_of_a_failure_stay_in_the_cache():
    net, executor = Net(), Drawing(failing=["both"])
    with pytest.raises(BuildError):
        solve(net, executor, [net.both])
    executor.failing.clear()
    executor.told.clear()

    solve(net, executor, [net.both])

    assert executor.ran() == [net.both]


def test_a_stopped_build_starts_nothing():
    net, executor, flag = Net(), Drawing(), threading.Event()
    flag.set()

    with pytest.raises(Cancelled):
        solve(net, executor, [net.both], cancelled=flag)
    assert executor.ran() == []


def test_a_chain_of_thousands_is_scheduled_without_recursion():
    make = GraphBuilder()
    last = make.add(ScratchOp())
    for number in range(5000):
        last = make.add(MkdirOp(last, str(number), ""))
    net = type("N", (), {"graph": make.graph([last])})

    assert solve(net, Drawing(), [last], jobs=1)[last].startswith("4999(")


def test_keys_change_with_every_field_and_input_and_with_nothing_else():
    net, executor = Net(), Drawing()
    made = keys.all_keys(net.graph, executor, [net.both])
    again = keys.all_keys(Net().graph, executor, [net.both])

    assert made == again
    op = net.graph[net.both]
    variants = [
        op._replace(sources=(op.sources[0]._replace(paths=("y",)),)),
        op._replace(dest="elsewhere"),
        op._replace(chown="1"),
        op._replace(chmod="600"),
        op._replace(exclude=("*",)),
        op._replace(sources=(op.sources[0]._replace(unpack=True),)),
        op._replace(parents=True),
        op._replace(keep_owner=False),
    ]
    input_keys = [made[parent] for parent in inputs(op)]
    found = {keys.plain_key(variant, input_keys) for variant in [op, *variants]}
    assert len(found) == len(variants) + 1
    assert keys.plain_key(op, input_keys[::-1]) not in found
