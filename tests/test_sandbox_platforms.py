"""What holds for an ordinary user, for root in a container, on macOS and on Windows: each has a defined behavior.

Each system is acted in a process of its own that gives up what it would not have there; on macOS, that it is Linux.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

import vidlearn
from vidlearn.sandbox import LAYERS, Isolation, Sandbox, SandboxError

RIGHT = """
import numpy as np
def normal_flow(Ix, Iy, It):
    squared = Ix**2 + Iy**2
    scale = -It / np.where(squared > 0, squared, 1)
    return np.stack([scale * Ix, scale * Iy], axis=-1)
"""
HOSTILE = """
import os
def normal_flow(Ix, Iy, It):
    for deed in (lambda: open({secret!r}).read(), os.fork, lambda: os.kill(os.getppid() or 1 << 20, 9), lambda: os.listdir({folder!r})):
        try: print("ESCAPED", deed())
        except OSError: pass
    return Ix
"""
#: run there: what holds as tried, and what a class of two and a single student then get
REPORT = """
import json, sys
sys.path.insert(0, {library!r})
from vidlearn.grade import Assignment, GradeError, grade
from vidlearn.sandbox import probe
asked = Assignment.from_dict({{"assignment": {{"id": "x"}}, "question": [{{"operation": "flow.normal_flow", "points": 4}}]}})
found = probe.probe(compare=False)
said = []
def graded(place, **more):
    try:
        results = grade(place, asked, seed=1, examples=3, progress=said.append, **more)
    except GradeError as error:
        return str(error)
    return {{r["student"]: [r["score"], r["status"], r["isolation"]["level"], r["questions"][0]["output"]] for r in results}}
print(json.dumps({{
    "probe": found.to_dict(), "class": graded({folder!r}), "trusted": graded({folder!r}, require_isolation=False),
    "single": graded({folder!r} + "/ada.py"), "said": said, "platform": sys.platform,
}}))
"""
#: what Docker's default profile refuses to a container without special rights: no mounts, no namespaces
REFUSE = """
import ctypes, os, struct, sys
numbers = {"x86_64": (272, 165, 166, 155, 308), "aarch64": (97, 40, 39, 41, 268)}[os.uname().machine]
steps = [struct.pack("<HBBI", 0x20, 0, 0, 0)]
for number in numbers:
    steps += [struct.pack("<HBBI", 0x15, 0, 1, number), struct.pack("<HBBI", 0x06, 0, 0, 0x50001)]
steps.append(struct.pack("<HBBI", 0x06, 0, 0, 0x7FFF0000))
code = ctypes.create_string_buffer(b"".join(steps))
class Program(ctypes.Structure): _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_void_p)]
libc = ctypes.CDLL(None, use_errno=True)
assert libc.prctl(38, 1, 0, 0, 0) == 0 and libc.prctl(22, 2, ctypes.byref(Program(len(steps), ctypes.cast(code, ctypes.c_void_p)))) == 0
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""
#: as if this were a Mac: neither the name of the system nor anything that only Linux has
MAC = """
import os, socket, sys, sysconfig
sysconfig.get_config_vars()
sys.platform = "darwin"
for module, names in ((os, ("pidfd_open", "memfd_create", "unshare", "setns", "getresuid", "setresuid", "setresgid")),
                      (socket, ("SOCK_CLOEXEC", "AF_NETLINK"))):
    for name in names:
        if hasattr(module, name): delattr(module, name)
"""
DOCKER = "chown,dac_override,fowner,fsetid,kill,setgid,setuid,setpcap,net_bind_service,net_raw,sys_chroot,mknod,audit_write,setfcap"
NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all"]
AS = {
    "an ordinary user": (NOBODY, False, "A"),
    "an ordinary user without namespaces": (NOBODY, True, "B"),
    "root in a container": (["setpriv", "--bounding-set=-all," + ",".join("+" + c for c in DOCKER.split(","))], True, "B"),
}  # fmt: skip


def _reachable(folder):
    """A command's beginning, under which other users reach this interpreter though it lies in root's own folder."""
    needed = {os.path.realpath(path) for path in (sys.base_prefix, sys.prefix, Path(vidlearn.__file__).parents[1])}
    closed = {
        str(parent): path for path in needed for parent in reversed(Path(path).parents) if not parent.stat().st_mode & 1
    }
    tops = sorted(top for top in closed if not any(other != top and top.startswith(other + "/") for other in closed))
    inside = [path for path in sorted(needed) if any(path.startswith(top + "/") for top in tops)]
    lines = []
    for i, path in enumerate(inside):
        lines += [f"mkdir -p '{folder}/{i}'", f"mount --bind '{path}' '{folder}/{i}'"]
    lines += [f"mount -t tmpfs -o mode=755 none '{top}'" for top in tops]
    for i, path in enumerate(inside):
        lines += [f"mkdir -p '{path}'", f"mount --bind '{folder}/{i}' '{path}'"]
    return ["unshare", "-m", "--propagation", "private", "sh", "-ec", "\n".join([*lines, 'exec "$@"']), "sh"]


@pytest.fixture(scope="module")
def handed_in():
    """A class of two, one of them hostile, in a folder that everyone may read: pytest's own are closed to others."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield _laid_out(Path(name))


def _laid_out(folder):
    (folder / "in").mkdir()
    (folder / "keep").mkdir()
    (folder / "secret").write_text("CANARY")
    (folder / "in" / "ada.py").write_text(RIGHT)
    (folder / "in" / "eve.py").write_text(HOSTILE.format(secret=str(folder / "secret"), folder=str(folder)))
    library = str(Path(vidlearn.__file__).parents[1])
    (folder / "report.py").write_text(REPORT.format(library=library, folder=str(folder / "in")))
    (folder / "refuse.py").write_text(REFUSE)
    worker = Path(vidlearn.__file__).parent / "sandbox" / "worker.py"
    (folder / "worker.py").write_text(f"{MAC}\nimport runpy\nrunpy.run_path({str(worker)!r}, run_name='__main__')\n")
    here = f"import sys\nsys.path.insert(0, {library!r})\nfrom vidlearn.sandbox import worker\n"
    swap = f"worker.__file__ = {str(folder / 'worker.py')!r}\n"
    (folder / "mac.py").write_text(MAC + here + swap + (folder / "report.py").read_text())
    for path in folder.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
    return folder


def _report(folder, command):
    done = subprocess.run(
        command, capture_output=True, text=True, cwd="/", timeout=120,
        env={"PATH": os.environ["PATH"], "HOME": "/tmp", "PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module", params=AS)
def there(request, handed_in, tmp_path_factory):
    become, refuse, level = AS[request.param]
    if not sys.platform.startswith("linux") or os.geteuid() or not shutil.which("setpriv"):
        pytest.skip("not run, because only root on Linux can become someone else, with setpriv")
    with Sandbox() as sandbox, sandbox.worker() as worker:
        if missing := worker.isolation.lacks("A") or worker.isolation.missing["Landlock"]:
            pytest.skip(f"not run, because this machine itself does not give every layer ({missing})")
    wrap = [*_reachable(tmp_path_factory.mktemp("binds")), *become]
    if (
        tried := subprocess.run([*wrap, sys.executable, "-c", "import numpy"], capture_output=True, text=True)
    ).returncode:
        pytest.skip(f"not run, because nobody else can start this interpreter here ({tried.stderr.strip()[-200:]})")
    script = ([str(handed_in / "refuse.py")] if refuse else []) + [str(handed_in / "report.py")]
    return request.param, level, _report(handed_in, [*wrap, sys.executable, *script])


def test_the_level_is_the_one_that_the_documentation_names(there):
    who, level, found = there
    isolation = found["probe"]["isolation"]
    if who == "an ordinary user" and isolation["level"] != "A":
        pytest.skip(f"not run, because this system gives ordinary users no namespaces ({isolation['missing']})")
    assert isolation["level"] == level and found["probe"]["holds"]
    missing = {"an ordinary user": {"other user"}, "root in a container": {"namespaces", "file system"}}
    assert set(isolation["missing"]) == missing.get(who, {"namespaces", "file system", "other user"})
    assert all(isolation["missing"].values())  # each with its reason


def test_nothing_gets_out_there_that_is_promised(there):
    _, _, found = there
    out = [one for one in found["probe"]["attempts"] if one["promised"] and one["outcome"] == "got out"]
    assert not out and sum(one["outcome"] == "refused" for one in found["probe"]["attempts"]) >= 25


def test_a_class_is_graded_there_and_kept_apart(there):
    _, _, found = there
    assert found["class"]["ada"][:2] == [4, "correct"]
    score, status, _, output = found["class"]["eve"]
    assert (score, status) == (0, "wrong") and "ESCAPED" not in output


# -- macOS and Windows ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def mac(handed_in):
    return _report(handed_in, [sys.executable, str(handed_in / "mac.py")])


def test_on_a_mac_there_are_limits_only_and_the_report_says_so(mac):
    isolation = mac["probe"]["isolation"]
    assert mac["platform"] == "darwin" and isolation["level"] == "C" and not mac["probe"]["holds"]
    for layer in set(LAYERS) - {"limits", "file system", "other user"}:
        assert "only on Linux, and this is darwin" in isolation["missing"][layer]
    assert not Isolation(isolation["missing"]).lacks("C") or "limits" in isolation["missing"]


def test_on_a_mac_a_class_is_refused_with_one_sentence_and_a_way_out(mac):
    assert "does not keep 2 submissions apart" in mac["class"] and "--no-require-isolation" in mac["class"]
    assert "only on Linux" in mac["class"] and "\n" not in mac["class"]


def test_on_a_mac_a_single_file_is_graded_with_a_note_and_a_class_if_told_so(mac):
    assert mac["single"]["ada"][:3] == [4, "correct", "C"]
    assert any(line.startswith("note: graded at isolation level C") for line in mac["said"])
    assert mac["trusted"]["ada"][:2] == [4, "correct"]
    assert mac["trusted"]["eve"][0] == 0  # it got out, and into nobody's marks


def test_a_limit_that_the_system_does_not_take_is_a_missing_layer_not_a_failure():
    from vidlearn.sandbox import worker

    def refuse():
        raise ValueError("current limit exceeds maximum limit")

    held = {}
    worker._layer(held, 1 << LAYERS.index("limits"), "limits", refuse)
    assert held == {"limits": "current limit exceeds maximum limit"}


def test_without_fork_there_is_no_sandbox_and_one_sentence(monkeypatch):
    monkeypatch.delattr(os, "fork")
    with pytest.raises(SandboxError, match="needs Linux or macOS"):
        Sandbox()


def test_the_grader_can_be_imported_where_the_systems_own_modules_are_missing():
    code = "import sys\nsys.modules['resource'] = sys.modules['fcntl'] = None\nimport os\ndel os.fork\n"
    code += "import vidlearn.grade, vidlearn.sandbox\nprint('imported')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "imported\n", done.stderr
