"""A layer of isolation is claimed only after it was tried, and less than what is required grades nobody."""

import argparse
import errno
import functools
import json
import os
import re
import shutil
import socket
import sys
import threading
import time
from pathlib import Path

import pytest

from vidlearn import grade as grading
from vidlearn.cli import main
from vidlearn.grade import Assignment, GradeError, grade
from vidlearn.grade.grading import Desk
from vidlearn.sandbox import LAYERS, LEVELS, Isolation, Limits, Sandbox, SandboxError, confine, escapes, probe

NAMES = [one.name for one in escapes.ATTEMPTS]
WHAT = {one.name: one.what for one in escapes.ATTEMPTS}
ASSIGNMENT = Assignment.from_dict(
    {"assignment": {"id": "x"}, "question": [{"operation": "flow.normal_flow", "points": 4}]}
)
RIGHT = """
import numpy as np
def normal_flow(Ix, Iy, It):
    squared = Ix**2 + Iy**2
    scale = -It / np.where(squared > 0, squared, 1)
    return np.stack([scale * Ix, scale * Iy], axis=-1)
"""


@pytest.fixture(scope="module")
def here():
    return probe.probe()


@pytest.fixture(scope="module")
def bare():
    with Sandbox(layers=()) as sandbox:
        isolation, tried = probe.trial(sandbox)
    return isolation, {one.what: one for one in tried}


# -- the attempts -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_nothing_gets_out_that_a_layer_in_force_promises_to_stop(here, name):
    one = next(one for one in here.tried if one.what == WHAT[name])
    if one.outcome == "not run":
        pytest.skip(f"not run, because {one.happened}")
    if not one.promised(here.isolation.enforced):
        pytest.skip(f"not run, because no layer in force on this machine promises it ({here.isolation})")
    assert one.outcome == "refused" and one.happened


@pytest.mark.parametrize("name", NAMES)
def test_every_attempt_is_real_without_a_sandbox_it_gets_out(bare, name):
    one = bare[1][WHAT[name]]
    if one.outcome != "got out":
        pytest.skip(f"not run, because this machine refuses it without a sandbox too: {one.happened}")
    assert one.happened


def test_at_least_what_needs_no_rights_gets_out_without_a_sandbox(bare):
    always = ("read", "list", "write", "create", "delete", "chmod", "kill", "fork", "exec", "memory", "descriptors")
    assert {name: bare[1][WHAT[name]].outcome for name in always} == dict.fromkeys(always, "got out")
    assert bare[0].enforced == () and bare[0].level == "C"


def test_every_layer_is_tried_by_an_attempt_and_every_attempt_names_layers_that_exist():
    named = {name for one in escapes.ATTEMPTS for way in one.by for name in way.split(" and ")}
    assert named == set(LAYERS)
    assert len(set(NAMES)) == len(set(WHAT.values())) == len(NAMES) >= 30


@pytest.mark.parametrize("layer", LAYERS)
def test_each_layer_alone_keeps_its_promises(layer):
    layers = ("namespaces", layer) if layer == "file system" else (layer,)
    with Sandbox(layers=layers) as sandbox, sandbox._fork(Limits()) as worker:
        why = worker.isolation.missing[layer]
        if why:
            pytest.skip(f"not run, because this layer is not to be had alone here ({why})")
        assert probe.trial(sandbox)[0].enforced == layers


# -- the filter of system calls --------------------------------------------------------------------------------------

ASK = b"""
import array, ctypes, errno, fcntl, os, termios
libc = ctypes.CDLL(None, use_errno=True)
def ask(number, *arguments):
    ctypes.set_errno(0)
    libc.syscall(ctypes.c_long(number), *(ctypes.c_long(one) for one in arguments))
    return errno.errorcode.get(ctypes.get_errno(), "done")
def honest():
    read, write = os.pipe()
    fcntl.fcntl(write, fcntl.F_SETFL, fcntl.fcntl(write, fcntl.F_GETFL) | os.O_NONBLOCK)
    os.close(os.dup(read))
    os.sched_setaffinity(0, os.sched_getaffinity(0))
    for inheritable in (True, False):
        os.set_inheritable(read, inheritable)
    os.set_blocking(read, False)
    waiting = array.array("i", [7])
    fcntl.ioctl(read, termios.FIONREAD, waiting)
    with open("/dev/null") as nothing:
        return "done" if not nothing.isatty() and list(waiting) == [0] else "wrong"
"""
LINUX = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="not run, because only Linux has such a filter")


@pytest.fixture(scope="module")
def filtered():
    """A worker at level B, asked for system calls by number."""
    layers = [name for name in LAYERS if name not in ("namespaces", "file system")]
    with Sandbox(layers=layers) as sandbox, sandbox._fork(Limits()) as worker:
        if why := worker.isolation.missing["seccomp"]:
            pytest.skip(f"not run, because there is no filter here ({why})")
        worker.open(ASK, ".py")
        yield worker


@LINUX
@pytest.mark.parametrize("name", confine._DENIED)
def test_a_denied_system_call_is_not_permitted(filtered, name):
    number = confine._DENIED[name][confine._MACHINE or 0]
    if number is None:
        pytest.skip("not run, because this processor has no such call")
    answer = filtered.load("ask")(number, -1, -1, -1, -1, -1, -1)
    assert answer == ("ENOSYS" if name in ("clone3", "io_uring_setup") else "EPERM")


@LINUX
@pytest.mark.parametrize(
    ("name", "refused", "let_through"),
    [
        ("fcntl", [(-1, 8), (-1, 10), (-1, 15), (-1, 1024), (-1, 1026)], [(-1, 1), (-1, 4), (-1, 9), (-1, 16)]),
        ("ioctl", [(-1, 0x5412), (-1, 0x8901), (-1, 0x40086602), (-1, 0x50009401)], [(-1, 0x5401), (-1, 0x5421)]),
        ("sched_setaffinity", [(1, 0, -1), (-1, 0, -1)], [(0, 0, -1)]),
    ],
)
def test_a_call_that_is_looked_at_is_refused_by_its_arguments_only(filtered, name, refused, let_through):
    number, ask = confine._LOOKED_AT[name][confine._MACHINE or 0], filtered.load("ask")
    assert {ask(number, *arguments) for arguments in refused} == {"EPERM"}
    assert "EPERM" not in {ask(number, *arguments) for arguments in let_through}


@LINUX
def test_descriptors_and_ones_own_processors_can_still_be_seen_to(filtered):
    assert filtered.load("honest")() == "done"


@pytest.mark.parametrize("processor", ["x86_64", "aarch64"])
def test_the_numbers_are_those_in_the_systems_own_headers(processor):
    # what aarch64 uses is the list that new processors share; x86-64 has one of its own
    files = {"x86_64": "x86_64-linux-gnu/asm/unistd_64.h", "aarch64": "asm-generic/unistd.h"}
    header = Path("/usr/include", files[processor])
    if not header.exists():
        pytest.skip(f"not run, because this system has no {header}")
    named = dict(re.findall(r"#define __NR(?:3264)?_(\w+) (\d+)", header.read_text()))
    numbers = {name: both[processor == "aarch64"] for name, both in (confine._DENIED | confine._LOOKED_AT).items()}
    known = {name: number for name, number in numbers.items() if name in named}
    assert known == {name: int(named[name]) for name in known} and len(known) > 80


# -- claims -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def boastful(monkeypatch):
    """A sandbox whose workers announce every layer, and put on the limits only."""
    honest = Sandbox._fork

    def boast(self, limits):
        worker = honest(self, limits)
        worker.isolation = Isolation(dict.fromkeys(LAYERS, ""))
        return worker

    monkeypatch.setattr(Sandbox, "_fork", boast)
    monkeypatch.setattr(grading, "Desk", functools.partial(Desk, layers=("limits",)))
    with Sandbox(layers=("limits",)) as sandbox:
        yield sandbox


def test_a_layer_that_is_announced_and_does_not_hold_is_not_claimed(boastful):
    with boastful.worker() as worker:
        assert worker.isolation.level == "C"
        missing = worker.isolation.missing
    for layer in ("file system", "Landlock", "seccomp"):
        assert "did not stop this" in missing[layer]
    assert not missing["limits"]


def test_a_class_is_not_graded_behind_a_layer_that_does_not_hold(boastful, tmp_path):
    with pytest.raises(GradeError, match="Landlock: put on, but it did not stop this"):
        grade(_class(tmp_path), ASSIGNMENT, seed=1, examples=2)


def test_a_layer_that_nothing_could_try_is_not_claimed(boastful, monkeypatch):
    few = [one for one in escapes.ATTEMPTS if one.name == "memory"]
    monkeypatch.setattr(escapes, "ATTEMPTS", few)
    with boastful.worker() as worker:
        assert worker.isolation.enforced == ("limits",)
        assert "nothing that tests it could be tried" in worker.isolation.missing["seccomp"]


def test_everything_is_tried_once_before_the_first_worker_and_not_again(monkeypatch):
    calls = []
    monkeypatch.setattr(probe, "trial", lambda sandbox: calls.append(1) or (Isolation(dict.fromkeys(LAYERS, "no")), []))
    with Sandbox() as sandbox:
        for _ in range(3):
            sandbox.worker().close()
    assert calls == [1]


def test_a_sandbox_warms_up_and_is_tried_beside_its_caller(monkeypatch):
    go, calls = threading.Event(), []

    def trial(sandbox):
        calls.append(threading.current_thread())
        assert go.wait(60)
        return Isolation(dict.fromkeys(LAYERS, "no")), []

    monkeypatch.setattr(probe, "trial", trial)
    with Sandbox() as sandbox:
        for _ in range(2):
            sandbox.begin()  # comes back, although the trial does not
        go.set()
        for _ in range(2):
            sandbox.worker().close()
    assert len(calls) == 1 and calls[0] is not threading.current_thread()


@pytest.mark.parametrize("begun", [True, False])
def test_a_sandbox_that_is_still_warming_up_can_be_closed(begun, tmp_path, monkeypatch):
    (tmp_path / "slow_here.py").write_text("import time\ntime.sleep(600)")
    monkeypatch.syspath_prepend(tmp_path)
    scenes, real = [], probe._Scene._lay_out

    def laying_out(self):
        scenes.append(self)
        real(self)

    monkeypatch.setattr(probe._Scene, "_lay_out", laying_out)
    sandbox = Sandbox(["slow_here"])
    if begun:
        sandbox.begin()
    sandbox.close()
    assert sandbox.ended and len(scenes) == begun
    for scene in scenes:
        assert not scene.outer.exists() and scene.bystander.poll() is not None


def test_a_sandbox_in_which_honest_work_fails_gives_out_no_worker(monkeypatch):
    monkeypatch.setattr(escapes, "honest", lambda x, threads: x * 0)
    with Sandbox() as sandbox:
        for _ in range(2):  # nor the second time
            with pytest.raises(SandboxError, match="an honest function with NumPy does not work here"):
                sandbox.worker()


def test_a_moment_without_descriptors_ends_no_later_worker_and_loses_none_of_them(monkeypatch):
    def none(*_):
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(probe, "trial", lambda sandbox: (sandbox._fork(Limits()).close(), (Isolation({}), []))[1])
    with Sandbox() as sandbox:
        sandbox.worker().close()
        for module, name in ((socket, "socketpair"), (os, "pipe"), (socket, "send_fds"), (probe, "trial")):
            sandbox._tried = sandbox._trial = None
            before = len(os.listdir("/dev/fd"))
            with monkeypatch.context() as moment:
                moment.setattr(module, name, none)
                with pytest.raises(SandboxError, match=os.strerror(errno.EMFILE)):
                    sandbox.worker()
            assert len(os.listdir("/dev/fd")) == before, name
            sandbox.worker().close()


def test_limits_that_stop_an_honest_functions_threads_are_not_claimed(monkeypatch):
    right = escapes.honest
    monkeypatch.setattr(escapes, "honest", lambda x, threads: right(x, threads) * (0 if threads else 1))
    with Sandbox() as sandbox, sandbox.worker() as worker:
        assert worker.isolation.level == "C" and "too tight" in worker.isolation.missing["limits"]


def test_a_worker_below_the_required_level_is_not_given_out():
    with Sandbox(layers=[name for name in LAYERS if name != "seccomp"]) as sandbox:
        sandbox.require = "B"
        with pytest.raises(SandboxError, match=r"level B is required.*seccomp \(not asked for\)"):
            sandbox.worker()
        sandbox.require = None
        sandbox.worker().close()


@pytest.mark.parametrize("level", LEVELS)
def test_what_a_level_lacks_is_named_and_a_better_level_lacks_nothing(level):
    for better in LEVELS:
        got = Isolation({name: "" if name in LEVELS[better] else "gone" for name in LAYERS})
        assert got.level == better
        expected = set(LEVELS[level]) - set(LEVELS[better]) if better > level else set()
        assert set(got.lacks(level)) == expected


# -- seen from outside ------------------------------------------------------------------------------------------------


def _connect(scene):
    with socket.create_connection(scene.servers[0].getsockname()):
        pass


DEEDS = {
    "writes": lambda scene: (scene.folder / "secret").open("a").write("x"),
    "creates": lambda scene: (scene.folder / "new").touch(),
    "deletes": lambda scene: (scene.folder / "secret").unlink(),
    "changes the mode and back": lambda scene: [(scene.folder / "secret").chmod(mode) for mode in (0o600, 0o666)],
    "changes the mode": lambda scene: (scene.folder / "secret").chmod(0o600),
    "kills": lambda scene: os.kill(scene.bystander.pid, 9),
    "connects": _connect,
}


@pytest.mark.parametrize("deed", DEEDS)
def test_an_escape_shows_from_outside_whatever_the_worker_says(deed):
    with probe._Scene() as scene:
        assert scene.disturbed(killed=False) == ""
        time.sleep(0.01)
        DEEDS[deed](scene)
        assert scene.disturbed(killed=deed == "kills")
        assert scene.disturbed(killed=False) == ""  # all is put back for the next attempt


def test_the_self_test_leaves_nothing_behind():
    with probe._Scene() as scene:
        folder, bystander = scene.outer, scene.bystander
        assert folder.stat().st_mode & 0o777 == 0o711  # what lies in it is open to all, but nobody finds its name
    assert not folder.exists() and bystander.poll() is not None


# -- the command ------------------------------------------------------------------------------------------------------


def test_the_command_shows_each_attempt_and_its_status_says_whether_the_minimum_holds(here, capsys):
    status = main(["sandbox", "--probe"])
    out = capsys.readouterr().out
    assert status == (0 if here.holds else 1)
    for one in here.tried:
        line = next(line for line in out.splitlines() if one.what in line)
        assert line.startswith({"refused": "held", "got out": "GOT OUT", "not run": "not run"}[one.outcome])
        assert one.outcome == "not run" or "without the sandbox: " in line
    assert str(here.isolation) in out


def test_the_command_as_json(here, capsys):
    status = main(["sandbox", "--probe", "--json"])
    data = json.loads(capsys.readouterr().out)
    assert data["holds"] == (status == 0) and data["isolation"] == here.isolation.to_dict()
    assert [one["tried"] for one in data["attempts"]] == list(WHAT.values())
    assert {one["outcome"] for one in data["attempts"]} <= {"refused", "got out", "not run"}


def test_less_than_the_minimum_is_said_and_is_status_1(monkeypatch, capsys):
    monkeypatch.setattr(probe, "Sandbox", lambda layers=("limits",): Sandbox(layers=layers))
    assert main(["sandbox"]) == 1
    out = capsys.readouterr().out
    assert "does not hold: missing Landlock, seccomp" in out and "level C" in out


def test_no_sandbox_at_all_is_status_2(monkeypatch, capsys):
    def none(*_, **__):
        raise SandboxError("this system cannot fork a process")

    monkeypatch.setattr(probe, "Sandbox", none)
    assert main(["sandbox", "--probe"]) == 2
    assert "vidlearn sandbox: this system cannot fork" in capsys.readouterr().err


# -- what grading requires --------------------------------------------------------------------------------------------


def _class(folder, students=2):
    folder = folder / "in"
    folder.mkdir()
    for i in range(students):
        (folder / f"student-{i:02}.py").write_text(f"{RIGHT}# {i}")
    return folder


@pytest.fixture
def limits_only(monkeypatch):
    monkeypatch.setattr(grading, "Desk", functools.partial(Desk, layers=("limits",)))


@pytest.mark.parametrize("asked", [{}, {"require_isolation": "B"}, {"require_isolation": "A"}])
def test_a_class_is_refused_below_the_level_with_the_missing_layers_and_a_way_out(limits_only, tmp_path, asked):
    with pytest.raises(GradeError) as refused:
        grade(_class(tmp_path), ASSIGNMENT, tmp_path / "out", seed=1, examples=2, **asked)
    sentence = str(refused.value)
    assert "seccomp: not asked for" in sentence and "--no-require-isolation" in sentence and "\n" not in sentence
    assert not any((tmp_path / "out").glob("*"))


@pytest.mark.parametrize("asked", [{"require_isolation": False}, {"trust_submissions": True}])
def test_a_class_is_graded_below_it_when_nothing_is_required(limits_only, tmp_path, asked):
    results = grade(_class(tmp_path), ASSIGNMENT, seed=1, examples=2, **asked)
    assert [result["score"] for result in results] == [4, 4]
    assert {result["isolation"]["level"] for result in results} == {"C"}


def test_a_single_file_is_graded_with_a_note(limits_only, tmp_path):
    lines = []
    (result,) = grade(_class(tmp_path, 1), ASSIGNMENT, seed=1, examples=2, progress=lines.append)
    assert result["score"] == 4
    assert lines[0].startswith("note: graded at isolation level C") and "seccomp" in lines[0]


def test_a_single_file_is_refused_where_a_level_was_asked_for(limits_only, tmp_path):
    with pytest.raises(GradeError, match="does not give isolation level B"):
        grade(_class(tmp_path, 1), ASSIGNMENT, seed=1, examples=2, require_isolation="B")


def test_an_unknown_level_is_refused(tmp_path):
    with pytest.raises(ValueError, match="require_isolation: expected one of A, B, C, or False, got 'D'"):
        grade(_class(tmp_path, 1), ASSIGNMENT, seed=1, examples=2, require_isolation="D")


def test_a_worker_that_falls_short_during_the_run_is_not_run_rather_than_graded(tmp_path, monkeypatch, here):
    if not here.holds:
        pytest.skip(f"not run, because the minimum does not hold on this machine ({here.isolation})")
    fork, count = Sandbox._fork, []

    def weaker_and_weaker(self, limits):
        worker = fork(self, limits)
        if self._tried is None:  # the trial
            return worker
        count.append(1)
        if len(count) > 2:  # after the look at the isolation and the first student
            worker.isolation = worker.isolation.without({"seccomp": "gone"})
        return worker

    monkeypatch.setattr(Sandbox, "_fork", weaker_and_weaker)
    first, second = grade(_class(tmp_path), ASSIGNMENT, seed=1, examples=2, require_isolation="B")
    assert (first["status"], second["status"]) == ("correct", "not run") and second["score"] is None
    assert "seccomp (gone)" in second["questions"][0]["findings"][0]["text"]


@pytest.mark.parametrize(
    ("options", "value"),
    [
        ([], None),
        (["--require-isolation", "A"], "A"),
        (["--no-require-isolation"], False),
        (["--trust-submissions"], False),
    ],
)
def test_the_options_of_the_command(options, value):
    parser = argparse.ArgumentParser()
    grading.add_arguments(parser)
    args = parser.parse_args(["in", "--assignment", "a", "--out", "o", *options])
    assert args.require_isolation is value or args.require_isolation == value


def test_the_command_refuses_with_one_sentence_and_status_2(limits_only, tmp_path, capsys):
    (tmp_path / "a.toml").write_text(
        '[assignment]\nid = "x"\n[[question]]\noperation = "flow.normal_flow"\npoints = 4\n'
    )
    folder = _class(tmp_path)
    command = ["grade", str(folder), "--assignment", str(tmp_path / "a.toml"), "--out", str(tmp_path / "out")]
    assert main(command) == 2
    err = capsys.readouterr().err
    assert err.startswith("vidlearn grade: this machine does not keep 2 submissions apart") and err.count("\n") == 1
    assert main([*command, "--no-require-isolation", "--seed", "1"]) == 0
    shutil.rmtree(tmp_path / "out")
    assert Path(folder).exists()
