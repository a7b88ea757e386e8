"""What a step sees and is: the attributes of its process, its mounts, its network, its traces."""

from __future__ import annotations

import os
import shutil
import threading
from functools import partial
from typing import TYPE_CHECKING

import pytest

from builder import _native
from builder.errors import SandboxError
from builder.sandbox import hints, idmaps, mounts, userns
from builder.sandbox.process import Command, run
from tests.support.forked import forked
from tests.support.rootfs import Result, collect

if TYPE_CHECKING:
    from tests.support.rootfs import Place

DOCKER_CAPABILITIES = "00000000a80425fb"
NONE = "0000000000000000"


def ignore(stream: int, line: bytes) -> None:
    pass


def status(place: Place, **fields: object) -> dict[str, str]:
    lines = place.run("cat", "/proc/self/status", **fields).out
    return {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}


def test_root_holds_dockers_capabilities_and_can_gain_none(place: Place) -> None:
    """K13: bounding, permitted and effective are Docker's default; nothing is inheritable or ambient."""
    of = status(place)

    assert {of["CapBnd"], of["CapPrm"], of["CapEff"]} == {DOCKER_CAPABILITIES}
    assert {of["CapInh"], of["CapAmb"]} == {NONE}
    assert of["NoNewPrivs"] == "1"
    assert of["Uid"].split() == ["0"] * 4


def test_other_user_starts_with_no_capability(place: Place) -> None:
    """As runc does for a USER, with the primary group among the groups (CVE-2022-2990)."""
    if place.tier == "single":
        pytest.skip("tier single has one user id")
    of = status(place, uid=1000, gid=1001, groups=(5, 7))

    assert {of["CapPrm"], of["CapEff"], of["CapInh"], of["CapAmb"]} == {NONE}
    assert of["CapBnd"] == DOCKER_CAPABILITIES
    assert of["Uid"].split() == ["1000"] * 4 and of["Gid"].split() == ["1001"] * 4
    assert sorted(of["Groups"].split()) == ["1001", "5", "7"]


def test_other_user_can_reopen_its_output(place: Place) -> None:
    """/dev/stdout works for a USER: the pipes belong to it."""
    if place.tier == "single":
        pytest.skip("tier single has one user id")

    assert place.sh("echo a >/dev/stdout; echo b >/dev/stderr", uid=1000, gid=1000) == (0, ["a"], ["b"])


def test_single_refuses_other_ids_up_front(place: Place) -> None:
    """The error says how to get several ids, before anything runs."""
    if place.tier != "single":
        pytest.skip("only tier single has one user id")

    with pytest.raises(SandboxError, match=r"1000:1000.*tier single") as caught:
        place.run("true", uid=1000, gid=1000)
    assert "newuidmap" in (caught.value.hint or "")


# The C library keeps signals 32 and 33 to itself: who has them ignored from his session passes that on.
_RESERVED = 3 << 31


def test_signals_umask_and_session_are_fresh(place: Place) -> None:
    """Python ignores SIGPIPE and the builder blocks signals around fork; a step inherits neither."""
    of = status(place)
    ignored = int(of["SigIgn"], 16) & ~_RESERVED

    assert (of["SigBlk"], ignored, of["SigCgt"]) == (NONE, 0, NONE)
    assert place.sh("umask").out == ["0022"]
    assert place.sh("set -- $(cat /proc/self/stat); echo $6").out == ["1"]


def test_is_pid_one_and_sees_no_other_process(place: Place) -> None:
    """Its own pid namespace with a fresh /proc."""
    assert place.sh("echo $$").out == ["1"]
    assert place.sh("echo /proc/[0-9]*").out == ["/proc/1"]


def test_has_exactly_three_descriptors(place: Place) -> None:
    """Whatever the builder holds open, inheritable or not (J-T1)."""

    def with_open_files() -> tuple[int, list[str], list[str]]:
        for _ in range(50):
            os.set_inheritable(os.open("/etc/passwd", os.O_RDONLY), True)
        return collect(place.tier, command)

    command = place.command("sh", "-c", "for f in /proc/1/fd/*; do readlink $f; done")
    out = place.inside(with_open_files).out

    assert out[0] == "/dev/null"
    assert [line.split(":")[0] for line in out[1:]] == ["pipe", "pipe"]


def test_environment_is_the_given_one(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the builder's comes through."""
    monkeypatch.setenv("CI_TOKEN", "secret")

    assert place.run("/bin/env", env=("A=1", "B=x=y")).out == ["A=1", "B=x=y"]
    assert place.run("/bin/env", env=()).out == []


def test_host_name_and_private_files(place: Place) -> None:
    """hosts and resolv.conf are copies that a step may write to, with no effect on the host's."""
    script = "hostname; cat /etc/hosts /etc/resolv.conf; echo changed >/etc/hosts; cat /etc/hosts"

    assert place.sh(script).out == ["box", "127.0.0.1 localhost", "nameserver 192.0.2.1", "changed"]
    assert (place.base / "hosts").read_text() == "127.0.0.1 localhost\n"
    assert place.left_in_upper() == []


def test_network_none_has_only_its_own_loopback(place: Place) -> None:
    """lo is up, so a server of a test suite can be reached; there is nothing else."""
    result = place.sh("tr -d ' ' </proc/net/dev | grep : | grep -v '|'; ip addr show lo | grep -c 127.0.0.1")

    assert [line.split(":")[0] for line in result.out] == ["lo", "1"]


def test_network_host_sees_the_hosts_devices(place: Place) -> None:
    """The same devices as the builder's."""
    devices = place.sh("ls /sys/class/net", network="host").out

    assert sorted(devices) == sorted(os.listdir("/sys/class/net"))


def test_unknown_network_is_refused(place: Place) -> None:
    """Never ignored."""
    with pytest.raises(SandboxError, match="bridge"):
        place.run("true", network="bridge")


def test_devices_work_and_are_few(place: Place) -> None:
    """Six devices, the links, and private pts, shm and mqueue."""
    script = "ls /dev; echo x >/dev/null; dd if=/dev/zero bs=4 count=1 2>/dev/null | wc -c; ls /dev/pts"
    names = sorted([*mounts.DEVICES, *(link for link, _ in mounts.DEVICE_LINKS), "mqueue", "pts", "shm"])

    assert place.sh(script).out == [*names, "4", "ptmx"]


def test_device_nodes_of_the_host_cannot_be_changed(place: Place) -> None:
    """Real root in a step would otherwise own the host's /dev/null."""
    before = os.stat("/dev/null")

    assert place.sh("chmod 600 /dev/null").code != 0
    assert os.stat("/dev/null").st_mode == before.st_mode


def test_sys_and_parts_of_proc_are_read_only_or_masked(place: Place) -> None:
    """The lists of Docker."""
    for network in ("none", "host"):
        writes = "touch /sys/x; echo 1 >/proc/sys/kernel/panic; mkdir /sys/fs/cgroup/x"
        result = place.sh(f"{writes}; cat /proc/keys; ls /sys/firmware", network=network)

        assert result.out == []
        assert sum("Read-only" in line for line in result.err) >= 2


def test_proc_mounts_names_no_path_of_the_host(place: Place) -> None:
    """Layers are named by number: where a store lies is none of a step's business."""
    assert not [line for line in place.run("cat", "/proc/1/mountinfo").out if str(place.base) in line]


def test_old_root_is_gone(place: Place) -> None:
    """After pivot_root nothing of the host is mounted or reachable by .. ."""
    mounts = place.run("cat", "/proc/mounts").out

    assert mounts[0].startswith("overlay / overlay ")
    assert place.sh("cd ../../../..; echo *").out == ["bin dev etc proc sys"]


def test_limits_are_fixed(place: Place) -> None:
    """No core files in layers; descriptors as many as a build needs."""
    out = place.sh("ulimit -c; ulimit -n").out

    assert out[0] == "0"
    assert int(out[1]) <= 65536


def run_with_covered(place: Place, directory: bytes, command: Command) -> Result:
    """As in a container whose runtime has mounted something on `directory`: a mount that we cannot remove."""

    def cover_and_run() -> Result:
        userns._enter(idmaps.many() if place.tier == "userns" else idmaps.single())
        _native.mount(b"none", directory, b"tmpfs", 0, b"")
        return collect(place.tier, command)

    return forked(cover_and_run)


def test_covered_sys_of_the_host_is_shared_instead(place: Place) -> None:
    """The kernel refuses a fresh one; the host's is bound read-only."""
    code, out, err = run_with_covered(
        place, b"/sys/kernel", place.command("sh", "-c", "ls /sys/kernel; touch /sys/x /sys/kernel/x")
    )

    assert (code, out) == (1, [])
    assert ["Read-only" in line for line in err] == [True, True]


def test_covered_proc_of_the_host_is_an_error_that_says_so(place: Place) -> None:
    """A7: never a silent bind of the host's /proc."""
    with pytest.raises(SandboxError, match=r"mount proc: Operation not permitted.*EPERM"):
        run_with_covered(place, b"/proc/sys", place.command("true"))


# ---- traces ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("network", ["host", "none"])
def test_a_step_that_changes_nothing_leaves_upper_empty(place: Place, network: str) -> None:
    """The mount points that the image lacks come from the lowest layer."""
    assert place.run("true", network=network) == (0, [], [])
    assert place.left_in_upper() == []
    assert os.listdir(place.base / "scratch") == []


def test_upper_holds_what_the_step_wrote_and_nothing_else(place: Place) -> None:
    """/etc was a stub; writing beside the mounts makes it real, with the mode it shows."""
    place.sh("echo a >/etc/mine; mkdir /data")

    assert place.left_in_upper() == ["data", "etc", "etc/mine"]


def test_scratch_image_without_layers(place: Place) -> None:
    """FROM scratch has no lower layer at all; a step is refused only by what it lacks: a program."""
    result = place.run("/nothing", lowers=())

    assert result.code == 127
    assert place.left_in_upper() == []


def test_many_layers(place: Place) -> None:
    """Docker's limit is 127 layers; file names as long as they like."""
    layers = []
    for number in range(127):
        layer = place.base / ("layer-" + "x" * 150) / str(number)
        layer.mkdir(parents=True)
        (layer / f"file{number}").write_text(str(number))
        layers.append(str(layer))

    result = place.sh("cat /file0 /file126; ls / | wc -l", lowers=(*layers, str(place.image)))

    assert result.out == ["0126132"]


def test_work_directory_can_be_removed_by_its_owner(place: Place) -> None:
    """A-T8: overlay leaves directories of mode 0 behind."""
    place.run("true")

    shutil.rmtree(place.base)


# ---- exit codes and output ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("argv", "code"),
    [(("sh", "-c", "exit 7"), 7), (("nope",), 127), (("/etc",), 126), (("/bin/nope",), 127), (("false",), 1)],
)
def test_exit_codes_are_a_shells(place: Place, argv: tuple[str, ...], code: int) -> None:
    """126 and 127 come with a line of output that says why."""
    result = place.run(*argv)

    assert result.code == code
    assert len(result.err) == (code > 100)


def test_death_by_signal_is_128_plus_its_number(place: Place) -> None:
    """Pid 1 gets fatal signals from its own faults alone; an abort through the kernel shows as such."""
    program = "exec sh -c 'kill -SEGV $$; echo alive'"

    assert place.sh(program).out == ["alive"]  # a pid 1 ignores what it did not ask for, as in Docker


def test_program_is_found_by_the_steps_own_path(place: Place) -> None:
    """PATH of the image, not ours; entries that cannot be executed are passed over."""
    (place.image / "opt").mkdir()
    (place.image / "opt/tool").write_text("#!/bin/sh\necho tool\n")
    (place.image / "bin/tool").write_text("not executable")
    (place.image / "opt/tool").chmod(0o755)

    assert place.run("tool", env=("PATH=/none:/bin:/opt",)).out == ["tool"]
    assert place.run("tool", env=("PATH=/bin",)).code == 126


def test_both_streams_arrive_complete_and_in_lines(place: Place) -> None:
    """The last line needs no newline; an empty line is a line."""
    result = place.sh("seq 1 5000; seq 1 5000 >&2; echo; printf end")

    assert result.out == [*map(str, range(1, 5001)), "", "end"]
    assert result.err == [*map(str, range(1, 5001))]


def test_background_children_do_not_hang_the_step(place: Place) -> None:
    """I-T6: what a step leaves running dies with it, though it holds the pipes."""
    assert place.sh("sleep 1000 & (sleep 1000 >&2 &) ; echo done") == (0, ["done"], [])


@pytest.mark.skipif("asan" in os.environ.get("LD_PRELOAD", ""), reason="AddressSanitizer keeps freed memory")
def test_200_megabytes_of_output_in_flat_memory(place: Place) -> None:
    """Lines, and one endless line."""
    import resource

    def measure(warm_up: Command, command: Command) -> tuple[int, int]:
        seen = 0

        def count(stream: int, line: bytes) -> None:
            nonlocal seen
            seen += len(line) + 1

        run(warm_up, count, threading.Event())
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        run(command, count, threading.Event())
        return seen, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before

    line = "0123456789" * 8
    for source in (f"yes {line} | dd bs=1M count=100 iflag=fullblock", "dd if=/dev/zero bs=1M count=100"):
        warm_up, command = place.command("true"), place.command("sh", "-c", f"{source} 2>/dev/null")
        seen, grown = place.inside(partial(measure, warm_up, command))

        assert seen >= 100 << 20
        assert grown < 8 << 10  # KiB


def test_several_steps_at_once(place: Place) -> None:
    """run is thread safe, with one scratch directory for all."""
    commands = [place.command("sh", "-c", f"echo {n}; sleep 0.2; exit {n}") for n in range(16)]

    def all_at_once() -> list[int]:
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(16) as pool:
            return list(pool.map(partial(run, on_output=ignore, cancelled=threading.Event()), commands))

    assert place.inside(all_at_once) == list(range(16))


def test_hint_in_tier_single_names_the_cure(place: Place) -> None:
    """chown fails in a map of one id, and the hint says how to get more."""
    result = place.sh("chown 33:33 /bin")
    hint = hints.hint_for_failure(place.tier, result.code, result.err)

    refused = place.tier == "single"
    assert (result.code != 0, hint is not None) == (refused, refused)
