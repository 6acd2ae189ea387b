"""Hostile submissions, by class (`tests/attacks`): none earns a mark, none gets out, and the grader goes on."""

import contextlib
import gzip
import io
import json
import os
import pickle
import shutil
import socket
import struct
import sys
import tarfile
import textwrap
import threading
import time
import tomllib
import warnings
import zipfile
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import pytest

import vidlearn
from vidlearn.grade import Assignment
from vidlearn.grade.grading import Desk
from vidlearn.grade.intake import Paper, papers
from vidlearn.sandbox import LAYERS, Worker

RIGHT = """
import numpy as np
def normal_flow(Ix, Iy, It):
    squared = Ix**2 + Iy**2
    scale = -It / np.where(squared > 0, squared, 1)
    return np.stack([scale * Ix, scale * Iy], axis=-1)
"""
TEMPLATE = """
import os
import numpy as np
SECRET, HOME, LIBRARY, PORT, PARENT = {facts!r}
def escaped(what): print("ESCAPED", what, flush=True)
def normal_flow(Ix, Iy, It):
{code}
    return np.zeros(Ix.shape + (2,))
"""
# What each level does without: B is what a container without namespaces gives, C what a system without Landlock and
# seccomp gives. At C nothing is kept apart, so only attacks on the marks are tried there, and only marks are looked at.
WITHOUT = {"A": (), "B": ("namespaces", "file system"), "C": tuple(name for name in LAYERS if name != "limits")}
ON_THE_MARKS = ("answers", "endings", "forging", "patching", "pickles")
CLASSES = {
    "time": "time", "memory": "memory", "processes": "processes", "output": "output", "files": "files",
    "network": "network", "signals": "signals", "exit": "endings", "forging results": "forging",
    "patching NumPy or the interpreter": "patching", "reading tests, solutions or other students": "reading",
    "pickles": "pickles", "lying arrays": "answers", "tracing": "tracing", "what outlives the process": "leftovers",
    "archives": "archives", "notebooks": "notebooks",
}  # fmt: skip
ATTACKS = [
    pytest.param(
        level, attack, id=f"{level} · {path.stem}: {attack['name']}", marks=[pytest.mark.slow] * (level != "A")
    )
    for level in WITHOUT
    for path in sorted(Path(__file__).with_name("attacks").glob("*.toml"))
    if level != "C" or path.stem in ON_THE_MARKS
    for attack in tomllib.loads(path.read_text(encoding="utf-8"))["attack"]
]
ASSIGNMENT = {
    "assignment": {"id": "attack", "time_limit": 1, "total_limit": 2, "memory_limit": 256},
    "question": [{"operation": "flow.normal_flow", "points": 10}],
}


@pytest.fixture(scope="module")
def site_at(tmp_path_factory):
    """By level, a desk with that isolation, and everything that an attack would like to reach."""
    with contextlib.ExitStack() as stack:
        sites = {}

        def at(level):
            if level not in sites:
                sites[level] = stack.enter_context(_site(level, tmp_path_factory.mktemp(f"teacher-{level}")))
            if sites[level].lacks:
                pytest.skip(
                    f"not run, because this machine does not give isolation level {level} ({sites[level].lacks})"
                )
            return sites[level]

        yield at


@contextlib.contextmanager
def _site(level, folder):
    folder.chmod(0o777)
    secret = folder / "secret.txt"
    token = f"CANARY-{os.urandom(8).hex()}"
    secret.write_text(token)
    secret.chmod(0o666)
    (folder / "student-02.py").write_text(f"# {token}\n{RIGHT}")
    callers = []
    os.environ["VIDLEARN_TEST_TOKEN"] = token
    layers = [name for name in LAYERS if name not in WITHOUT[level]]
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        Desk(Assignment.from_dict(ASSIGNMENT), seed=11, examples=3, feedback=False, layers=layers) as desk,
    ):
        listener = threading.Thread(target=_accept, args=(server, callers), daemon=True)
        listener.start()
        missing = desk.isolation["missing"]
        lacks = "; ".join(f"{name}: {why}" for name, why in missing.items()) if desk.isolation["level"] > level else ""
        port = server.getsockname()[1]
        said, take = [], Worker.take_output

        def heard(worker):  # also what no report shows
            said.append(take(worker))
            return said[-1]

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Worker, "take_output", heard)
            yield SimpleNamespace(
                level=level, lacks=lacks, desk=desk, folder=folder, secret=secret, token=token, callers=callers, port=port,
                said=said,
            )  # fmt: skip
        with contextlib.suppress(OSError):
            server.shutdown(socket.SHUT_RDWR)
        listener.join(2)
    os.environ.pop("VIDLEARN_TEST_TOKEN", None)
    shutil.rmtree(folder, ignore_errors=True)


def _accept(server, callers):
    with contextlib.suppress(OSError):
        while True:
            line, address = server.accept()
            callers.append(address)
            line.close()


def _grade(site, source):
    return site.desk.grade(Paper("student-01", "student-01.py", source.encode(), ".py"))


def _hostile(site, code):
    """The source of a submission that does `code`."""
    facts = (str(site.secret), str(Path.home()), str(Path(vidlearn.__file__).parents[1]), site.port, os.getpid())
    return TEMPLATE.format(facts=facts, code=textwrap.indent(code.strip(), "    "))


def _book(*sources):
    cells = [{"cell_type": "code", "metadata": {}, "outputs": [], "source": source} for source in sources]
    return json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": cells}).encode()


def _papers(site, attack, folder):
    """What is handed in: the source, or the file that the attack builds, as intake takes it."""
    if "code" in attack:
        source = _hostile(site, attack["code"])
        compile(source, attack["name"], "exec")  # a typing error in an attack would look like containment
        return [Paper("student-01", "student-01.py", source.encode(), ".py")] * (2 if attack.get("twice") else 1)
    payload = _hostile(site, "escaped(open(SECRET).read())").encode()
    names = {
        "PAYLOAD": payload, "RIGHT": RIGHT.encode(), "SECRET": str(site.secret), "book": _book, "file": io.BytesIO(),
        "name": "student-01.ipynb", **{module.__name__: module for module in
        (gzip, io, json, os, pickle, struct, tarfile, warnings, zipfile)},
    }  # fmt: skip
    exec(attack["build"], names)
    (folder / names["name"]).write_bytes(names.get("raw") or names["file"].getvalue())
    return papers(folder / names["name"], "attack")[0]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="not run, because isolation beyond limits needs Linux")
@pytest.mark.parametrize(("level", "attack"), ATTACKS)
def test_an_attack_earns_nothing_and_stays_inside(site_at, level, attack, tmp_path):
    site = site_at(level)
    before, stamp = sorted(os.listdir(site.folder)), (site.secret.stat().st_mode, site.secret.stat().st_mtime_ns)
    handed_in = _papers(site, attack, tmp_path)
    beside = sorted(os.listdir(tmp_path))
    assert handed_in
    for paper in handed_in:
        site.said.clear()
        _contained(site, attack, paper, site.desk.grade(paper))
    assert sorted(os.listdir(tmp_path)) == beside
    if site.level == "C":
        return
    assert sorted(os.listdir(site.folder)) == before and site.secret.read_text() == site.token
    assert (site.secret.stat().st_mode, site.secret.stat().st_mtime_ns) == stamp
    assert site.callers == []


def _contained(site, attack, paper, result):
    question = result["questions"][0]
    if paper.student == "right":
        assert result["score"] == 10, question
        return
    assert not result["score"], question
    status = ("wrong", "crashed", "timed out", "out of memory", "not attempted")
    if "status" in attack:
        status = (attack["status"], "timed out")  # a busy machine may be slower than the limit
    elif "build" in attack:
        status = (*status, "unreadable", "not run")
    assert question["status"] in status, question
    assert (result["score"] is None) == (question["status"] == "not run")
    assert not any("grader error" in finding["text"] for finding in question["findings"]), question
    assert all(len(text) < 70_000 for text in site.said)
    assert all(c.isprintable() for c in result["student"] + result["submission"])
    if site.level != "C":
        assert not any("ESCAPED" in text for text in site.said), site.said
        assert site.token not in str((result, site.said))


def test_every_class_of_attack_is_tried_by_three_or_more():
    count = Counter(path.stem for path in Path(__file__).with_name("attacks").glob("*.toml")
                    for _ in tomllib.loads(path.read_text(encoding="utf-8"))["attack"])  # fmt: skip
    assert {name for name, stem in CLASSES.items() if count[stem] < 3} == set()
    assert set(count) == set(CLASSES.values()) and sum(count.values()) >= 150


@pytest.mark.parametrize(
    "name",
    [
        "reads a file of the teacher's",
        "reads the grader's environment",
        "reads the reference's source",
        "connects to a local server",
        "sends a datagram",
        "fork",
        "a shell",
        "a file that lives in memory only",
        "reads what another handed in",
        "looks for the library's specs, solutions and tests",
        "asks to be traced, and lets anyone",
        "a process that forks twice and lets go",
        "named shared memory",
    ],
)
def test_the_attacks_are_real_without_isolation_they_do_get_out(site_at, name):
    site = site_at("C")
    attack = next(a for _, a in (param.values for param in ATTACKS) if a["name"] == name)
    if not Path("/proc").exists() and "environment" in name:
        pytest.skip("not run, because this system has no /proc")
    site.said.clear()
    question = _grade(site, _hostile(site, attack["code"]))["questions"][0]
    assert any("ESCAPED" in text for text in site.said) and question["score"] == 0


@pytest.mark.parametrize("level", ["A", "B"])
def test_after_every_attack_a_right_answer_is_still_right_and_nothing_lives_on(site_at, level):
    site = site_at(level)
    result = _grade(site, RIGHT)
    assert result["status"] == "correct" and result["score"] == 10
    warm = site.desk.sandbox._process.pid
    listed = Path(f"/proc/{warm}/task/{warm}/children")
    if listed.exists():
        for _ in range(200):  # the last worker was let go a moment ago
            living = [pid for pid in listed.read_text().split() if not _is_zombie(pid)]
            if not living:
                break
            time.sleep(0.01)
        assert living == []


def _is_zombie(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except OSError:
        return True


@pytest.mark.parametrize("level", ["A", "B"])
def test_honest_submissions_that_use_the_library_and_threads_score_full_marks(site_at, level):
    site = site_at(level)
    source = (
        RIGHT
        + """
import collections, ctypes, decimal, hashlib, json, random, re, sqlite3, tempfile, zlib
from concurrent.futures import ThreadPoolExecutor
plain = normal_flow
def normal_flow(Ix, Iy, It):
    with ThreadPoolExecutor(4) as pool:
        rows = list(pool.map(lambda y: plain(Ix[y:y+1], Iy[y:y+1], It[y:y+1]), range(len(Ix))))
    hashlib.sha256(b"x").hexdigest(); np.fft.fft(np.ones(4)); np.linalg.svd(np.eye(3)); random.random()
    return np.concatenate(rows) if rows else plain(Ix, Iy, It)
"""
    )
    result = _grade(site, source)
    assert result["score"] == 10, result["questions"]


def test_scratch_files_can_be_written_and_vanish_with_the_process(site_at):
    save = "    np.save('/tmp/kept.npy', Ix); assert np.load('/tmp/kept.npy').shape == Ix.shape\n    squared"
    assert _grade(site_at("A"), RIGHT.replace("    squared", save, 1))["score"] == 10
    assert not Path("/tmp/kept.npy").exists()
