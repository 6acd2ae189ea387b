r"""Write and debug a CUDA kernel on a machine without a GPU.

A :class:`Kernel` compiles CUDA C++ with the C++ compiler at hand (g++ or clang++) and runs it on NumPy arrays. It is
called like ``cupy.RawKernel``, so what works here moves to a GPU by changing one name. Blocks, threads, ``__shared__``
and ``extern __shared__`` memory, ``__syncthreads``, warp shuffles, atomics, templates and common math functions work.

The threads of a block run one after the other, each up to its next barrier, always in the same order, so a bug shows
the same way every time. What it proves is the kernel's logic; what it can't prove is its speed. Half precision,
textures and cooperative groups are missing.

Three kinds of bug that are silent on a GPU are named here:

* an argument of the wrong type: a ``TypeError`` that names the parameter;
* an access outside an array: ``sanitize="memory"`` (AddressSanitizer, in a process of its own);
* two threads that touch the same memory with no barrier between them, or shared memory that nobody wrote:
  ``sanitize="races"``.

Examples
--------
>>> import numpy as np
>>> from vidlearn.cuda_on_cpu import Kernel
>>> source = '''
... extern "C" __global__ void saxpy(float a, const float* x, float* y, int n) {
...     int i = blockIdx.x * blockDim.x + threadIdx.x;
...     if (i < n) y[i] += a * x[i];
... }
... '''
>>> x, y = np.arange(5, dtype=np.float32), np.ones(5, dtype=np.float32)
>>> saxpy = Kernel(source, "saxpy")
>>> saxpy((2,), (4,), (np.float32(2), x, y, 5))
>>> y
array([1., 3., 5., 7., 9.], dtype=float32)

The test ``i < n`` forgotten: 8 threads write an array of 5.

>>> Kernel(source.replace("if (i < n)", ""), "saxpy", sanitize="memory")((2,), (4,), (np.float32(2), x, y, 5))
Traceback (most recent call last):
vidlearn.cuda_on_cpu.KernelError: saxpy, line 4: thread (1, 0, 0) of block (1, 0, 0) reads y[5], but y has 5 elements
    y[i] += a * x[i];
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import re
import shutil
import stat
import struct
import subprocess
import tempfile
import threading
from collections.abc import Callable, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

__all__ = ["CompileError", "Kernel", "KernelError", "compiler"]

MAX_THREADS = 1024
MAX_SHARED = 48 * 1024
FLAGS = ("-std=c++20", "-w", "-fPIC", "-fvisibility=hidden", "-fno-threadsafe-statics", "-U_FORTIFY_SOURCE")
MODES: dict[str | None, tuple[str, ...]] = {
    None: ("-O2",),
    "memory": ("-O1", "-g", "-fno-omit-frame-pointer", "-fsanitize=address"),
    "races": ("-O1", "-g", "-DSHIM_RACES"),
}
ASAN = "detect_leaks=0:redzone=2048:detect_stack_use_after_return=0:allocator_may_return_null=1"


class KernelError(RuntimeError):
    """A kernel did something wrong while it ran; the message names the line."""


class CompileError(RuntimeError):
    """A kernel does not compile; the message gives the compiler's errors at the kernel's own lines."""


class Parameter(NamedTuple):
    """One parameter of a kernel: `kind` is ``f``, ``i``, ``u``, ``b`` or ``V`` (anything else), as in NumPy."""

    name: str
    is_array: bool
    is_written: bool
    kind: str
    size: int

    @property
    def type(self) -> str:
        """The NumPy name of the type."""
        return "bytes" if self.kind == "V" else np.dtype(f"{self.kind}{self.size}").name


class Kernel:
    """A CUDA kernel that runs on NumPy arrays: ``cupy.RawKernel`` for a machine without a GPU.

    Parameters
    ----------
    code
        CUDA C++ source; it may hold several kernels.
    name
        The kernel's name, or an instance of a template such as ``"blur<float, 2>"``.
    options
        Compiler options as CuPy takes them: ``-DNAME=value``, ``-UNAME`` and ``-I…`` are used, others have no effect.
    sanitize
        ``"memory"`` (or True) finds accesses outside an array or a ``__shared__`` variable, ``"races"`` finds
        unordered accesses and shared memory that nobody wrote. Both are slower and meant for small inputs.

    Raises
    ------
    CompileError
        If the source does not compile, or there is no C++ compiler.
    """

    def __init__(
        self, code: str, name: str, options: Sequence[str] = (), *, sanitize: Literal["memory", "races"] | bool = False
    ) -> None:
        mode = {False: None, True: "memory"}.get(sanitize, sanitize) if isinstance(sanitize, bool) else sanitize
        if mode not in MODES:
            raise ValueError(f'sanitize={sanitize!r}: expected False, "memory" or "races"')
        self.code, self.name, self.sanitize = code, name, mode
        plain = _without_comments(code)
        self._barriers = bool(re.search(r"__sync|_sync\s*\(", plain))
        names = _parameter_names(plain, name)
        defines = tuple(o for o in options if o.startswith(("-D", "-U", "-I")))
        files = _program(plain, name, self._barriers)
        self._file = _build(files, defines, mode, code, name)
        signature = ctypes.CDLL(str(self._file)).shim_signature if mode != "memory" else None
        text = _call_text(signature) if signature else _read_signature(self._file)
        self.parameters = tuple(_parse_signature(text, names))

    def __call__(self, grid: Sequence[int], block: Sequence[int], args: Sequence[Any], shared_mem: int = 0) -> None:
        """Launch the kernel and wait for it.

        Parameters
        ----------
        grid, block
            Blocks in the grid and threads in a block, as (x,), (x, y) or (x, y, z).
        args
            One value per parameter: C-contiguous arrays for pointers, integers, or NumPy scalars of the exact type.
        shared_mem
            Bytes of ``extern __shared__`` memory.

        Raises
        ------
        TypeError, ValueError
            If an argument or the launch shape doesn't fit.
        KernelError
            If the kernel breaks a rule that is checked: a barrier that not all threads reach, an ``assert``, and what
            `sanitize` finds.
        """
        shape = (*_triple(grid, "grid"), *_triple(block, "block"))
        if shape[3] * shape[4] * shape[5] > MAX_THREADS:
            raise ValueError(f"block={tuple(block)}: more than {MAX_THREADS} threads in a block, which no GPU runs")
        if not 0 <= shared_mem <= MAX_SHARED:
            raise ValueError(f"shared_mem={shared_mem}: expected 0 to {MAX_SHARED} bytes")
        if len(args) != len(self.parameters):
            expected = ", ".join(p.name for p in self.parameters)
            raise TypeError(f"{self.name} takes {len(self.parameters)} arguments ({expected}); got {len(args)}")
        values = [self._checked(a, p) for a, p in zip(args, self.parameters, strict=True)]
        problem = (_run_apart if self.sanitize == "memory" else _run_here)(self, shape, shared_mem, values)
        if problem:
            raise KernelError(self._explain(problem, values))

    def _checked(self, value: Any, p: Parameter) -> np.ndarray:
        """Return the argument as an array of the parameter's type, or say what is wrong with it."""
        where = f"{self.name}: argument {p.name}"
        if not p.is_array:
            return _checked_scalar(value, p, where)
        if not isinstance(value, np.ndarray):
            raise TypeError(f"{where} is {type(value).__name__}; expected an array of {p.type}")
        if p.kind != "V" and value.dtype != np.dtype(f"{p.kind}{p.size}"):
            raise TypeError(
                f"{where} is an array of {value.dtype}; the kernel expects {p.type}: use astype({p.type!r})"
            )
        if not value.flags.c_contiguous:
            raise TypeError(f"{where} is not contiguous, and a kernel only sees a pointer: use numpy.ascontiguousarray")
        if p.is_written and not value.flags.writeable:
            raise TypeError(f"{where} is read-only, and the kernel may write to it: pass a copy, or declare it const")
        return value

    def _explain(self, problem: str, values: list[np.ndarray]) -> str:
        """Turn the runtime's placeholders into lines and elements, and show the line."""
        problem = re.sub(r"@([0-9a-f]+)@", lambda m: str(_line_at(self._file, m[1])), problem)
        problem = re.sub(r"#([0-9a-f]+)#", lambda m: self._element(int(m[1], 16), values), problem)
        line = re.match(r"line (\d+)", problem)
        text = _line(self.code, int(line[1])) if line else ""
        return f"{self.name}, {problem}" + (f"\n    {text}" if text else "")

    def _element(self, address: int, values: list[np.ndarray]) -> str:
        for value, p in zip(values, self.parameters, strict=True):
            if p.is_array and 0 <= address - value.ctypes.data < value.nbytes:
                return f"{p.name}[{(address - value.ctypes.data) // p.size}]"
        return "a global variable"


# ---- arguments --------------------


def _triple(value: Sequence[int], what: str) -> tuple[int, ...]:
    sizes = tuple(value) if isinstance(value, (tuple, list)) else (value,)
    if not 1 <= len(sizes) <= 3 or not all(isinstance(v, (int, np.integer)) and v >= 1 for v in sizes):
        raise ValueError(f"{what}={value}: expected one to three positive integers")
    return (*map(int, sizes), *(1,) * (3 - len(sizes)))


def _checked_scalar(value: Any, p: Parameter, where: str) -> np.ndarray:
    if p.kind == "V":
        raise TypeError(f"{where}: a struct passed by value is not supported; pass its fields, or an array")
    dtype = np.dtype(f"{p.kind}{p.size}")
    exact = isinstance(value, np.generic) and value.dtype == dtype
    if p.kind == "f" and not exact:
        if type(value) is float and dtype == np.float64:
            return np.array(value, dtype)
        how = "CuPy passes a Python float as double" if type(value) is float else f"got {type(value).__name__}"
        raise TypeError(f"{where} is {value!r}, but the kernel expects {dtype}: {how}; pass numpy.{dtype}({value!r})")
    if p.kind in "iu" and not exact:
        if not isinstance(value, (int, np.integer)) or isinstance(value, bool):
            raise TypeError(f"{where} is {value!r}; expected an integer ({dtype})")
        if isinstance(value, np.integer) and value.dtype.itemsize < dtype.itemsize:
            raise TypeError(f"{where} is {value.dtype}, but the kernel expects {dtype}: pass int({p.name})")
        limits = np.iinfo(dtype)
        if not limits.min <= value <= limits.max:
            raise TypeError(f"{where} is {value}, which does not fit {dtype}")
    if p.kind == "b" and not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{where} is {value!r}; expected True or False")
    return np.array(value, dtype)


# ---- reading the source --------------------


def _without_comments(code: str) -> str:
    """Blank out comments, so that what is left keeps its lines and columns."""
    pattern = r'"(?:\\.|[^"\\\n])*"|//[^\n]*|/\*.*?\*/'
    return re.sub(pattern, lambda m: m[0] if m[0][0] == '"' else re.sub(r"[^\n]", " ", m[0]), code, flags=re.S)


def _split(text: str) -> list[str]:
    """Split at the commas that are outside all brackets."""
    parts, depth = [""], 0
    for c in text:
        depth += (c in "([{<") - (c in ")]}>")
        if c == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += c
    return parts


def _parameter_names(code: str, name: str) -> list[str]:
    base = name.split("<")[0].strip()
    kernels = re.findall(
        r"__global__[^;{}]*?\b(\w+)\s*\((?=[^;{}]*\)\s*[;{])", re.sub(r"__launch_bounds__\s*\([^)]*\)", "", code)
    )
    found = re.search(rf"__global__[^;{{}}]*?\b{re.escape(base)}\s*\(([^;{{}}]*)\)\s*[;{{]", code, re.S)
    if not found:
        listed = f"it has {', '.join(dict.fromkeys(kernels))}" if kernels else "it has none (mark one with __global__)"
        raise ValueError(f"no kernel {base!r} in the source; {listed}")
    return [m[0] if (m := re.findall(r"\w+(?=\s*(?:\[[^]]*\])?\s*$)", part)) else "" for part in _split(found[1])]


def _parse_signature(text: str, names: list[str]) -> list[Parameter]:
    types = [t for t in text.split(",") if t]
    if len(names) != len(types):  # the preprocessor had a hand in it
        names = [f"number {i}" for i in range(len(types))]
    parts = [t.split() for t in types]
    return [Parameter(n, h[0] == "*", h == "*w", t[0], int(t[1:])) for n, (h, t) in zip(names, parts, strict=True)]


def _program(code: str, name: str, barriers: bool) -> dict[str, str]:
    """Return the C++ files: shim, kernel source with its shared memory made ordinary, and two ways in for Python."""

    def dynamic(m: re.Match[str]) -> str:  # its address is known at launch
        return f"{m[1]}* {m[2]} = reinterpret_cast<{m[1]}*>(shim::dynamic_shared); (void){m[2]};"

    def static(m: re.Match[str]) -> str:
        variables = re.findall(r"(\w+)\s*(?:\[[^\]]*\]\s*)*$", "\n".join(_split(m[1])), re.M)
        box = f"shim_shared_{m.start()}"
        named = "".join(f' auto& {v} = {box}.{v}; shim::fresh(&{v}, sizeof {v}, "{v}");' for v in variables)
        return f"static struct {{ SHIM_REDZONE(before); {m[1]}; SHIM_REDZONE(after); }} {box};{named}"

    code = re.sub(
        r"extern\s+__shared__\s+(?:__align__\s*\([^)]*\)\s*)?([\w:<> ]*?\w[>]?)\s+(\w+)\s*\[\s*\]\s*;", dynamic, code
    )
    code = re.sub(r"(?:static\s+)?__shared__\s+([^;]*);", static, code)
    entries = f"""
extern "C" __attribute__((visibility("default"))) const char* shim_signature() {{ return shim::signature(&{name}); }}
extern "C" __attribute__((visibility("default"), no_sanitize("thread")))
const char* shim_launch(const unsigned* shape, size_t shared, void** values) {{
    return shim::launch(&{name}, shape, shared, values, {str(barriers).lower()});
}}
"""
    return {"shim.h": _text("shim.h"), "kernel.cu": f'{code}\n#include "call.h"\n', "call.h": entries}


def _text(file: str) -> str:
    return resources.files(__name__).joinpath(file).read_text()


# ---- compiling --------------------


@functools.cache
def compiler() -> str:
    """Return the path of the C++ compiler: the environment variable CXX, else g++, else clang++.

    Raises
    ------
    CompileError
        If there is none.
    """
    for name in (os.environ.get("CXX"), "g++", "clang++"):
        if name and (path := shutil.which(name)):
            return path
    raise CompileError(
        "no C++ compiler (g++ or clang++) found; install one: `sudo apt install g++` on Debian and Ubuntu, "
        "`xcode-select --install` on macOS, `conda install -c conda-forge gxx` anywhere with conda"
    )


@functools.cache
def _compiler_version() -> str:
    return subprocess.run([compiler(), "--version"], capture_output=True, text=True, check=False).stdout


@functools.cache
def _cache() -> Path:
    """Return a directory that nobody else can write to: what lies there is loaded into this process."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "vidlearn-cuda-on-cpu"
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        info = home.lstat()
        if (
            stat.S_ISDIR(info.st_mode)
            and info.st_uid == os.getuid()
            and not info.st_mode & 0o077
            and os.access(home, os.W_OK)
        ):
            return home
    except OSError:
        pass
    return Path(tempfile.mkdtemp(prefix="vidlearn-cuda-on-cpu-"))


def _cached(key: tuple[Any, ...], suffix: str, make: Callable[[Path, Path], None]) -> Path:
    """Return the file that `make(target, scratch folder)` wrote for this key, now or earlier."""
    digest = hashlib.sha256(repr((*key, compiler(), _compiler_version())).encode()).hexdigest()[:32]
    target = _cache() / f"{digest}{suffix}"
    if not target.exists():
        with tempfile.TemporaryDirectory(dir=_cache()) as scratch:
            fresh = Path(scratch) / target.name
            make(fresh, Path(scratch))
            fresh.replace(target)  # atomic: two processes may compile the same kernel at once
    return target


def _compile(arguments: list[str], code: str = "", name: str = "") -> None:
    done = subprocess.run([compiler(), *FLAGS, *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise CompileError(_readable(done.stderr, code, name))


def _build(files: dict[str, str], defines: tuple[str, ...], mode: str | None, code: str, name: str) -> Path:
    """Compile a kernel into a library (or, for AddressSanitizer, a program)."""
    runtime = _text("runtime.cpp")
    flags = MODES[mode]

    def make_runtime(target: Path, scratch: Path) -> None:
        (scratch / "runtime.cpp").write_text(runtime)
        _compile([*flags, "-c", str(scratch / "runtime.cpp"), "-o", str(target)])

    def make(target: Path, scratch: Path) -> None:
        for file, text in files.items():
            (scratch / file).write_text(text)
        seen = ["-fsanitize=thread"] if mode == "races" else []
        source = ["-x", "c++", "-include", str(scratch / "shim.h"), str(scratch / "kernel.cu")]
        _compile([*flags, *seen, *defines, "-c", *source, "-o", str(scratch / "kernel.o")], code, name)
        objects = [str(scratch / "kernel.o"), str(_cached((runtime, mode), ".o", make_runtime))]
        _compile([*flags, *([] if mode == "memory" else ["-shared"]), *objects, "-o", str(target)], code, name)

    return _cached((files, runtime, defines, mode), "" if mode == "memory" else ".so", make)


def _line(code: str, number: int) -> str:
    lines = re.split(r'^#line 1 ".*"\n', code, flags=re.M)[-1].splitlines()
    return lines[number - 1].strip() if 1 <= number <= len(lines) else ""


def _readable(stderr: str, code: str, name: str) -> str:
    """Keep the compiler's errors that are at the kernel's lines, each with its line."""
    found = dict.fromkeys(re.findall(r"\w+\.cu:(\d+):\d+: (?:fatal )?error: (.*)", stderr))
    if not found:
        return f"{name} does not compile:\n{stderr.strip()}"
    shown = [f"  line {n}: {what}\n      {_line(code, int(n))}" for n, what in found]
    return "\n".join(
        [f"{name} does not compile:", *shown[:5], *([f"  and {len(shown) - 5} more"] if len(shown) > 5 else [])]
    )


@functools.cache
def _line_at(library: Path, offset: str) -> str:
    done = subprocess.run(["addr2line", "-i", "-e", str(library), offset], capture_output=True, text=True, check=False)
    found = re.search(r"\w+\.cu:(\d+)", done.stdout)
    return found[1] if found else "?"


# ---- running --------------------

_one_launch = threading.Lock()  # __shared__ variables are static, and ctypes lets other Python threads run


def _call_text(function: Any) -> str:
    function.restype = ctypes.c_char_p
    return function().decode()


def _run_here(kernel: Kernel, shape: tuple[int, ...], shared_mem: int, values: list[np.ndarray]) -> str | None:
    launch = ctypes.CDLL(str(kernel._file)).shim_launch
    launch.restype = ctypes.c_char_p
    addresses = [ctypes.c_void_p(v.ctypes.data) for v in values]
    pointers = [
        ctypes.addressof(a) if p.is_array else v.ctypes.data
        for a, v, p in zip(addresses, values, kernel.parameters, strict=True)
    ]
    with _one_launch:
        why = launch(
            (ctypes.c_uint * 6)(*shape), ctypes.c_size_t(shared_mem), (ctypes.c_void_p * len(pointers))(*pointers)
        )
    return why.decode() if why else None


def _run_apart(kernel: Kernel, shape: tuple[int, ...], shared_mem: int, values: list[np.ndarray]) -> str | None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "launch"
        with file.open("wb") as f:
            f.write(struct.pack("=6IQQ", *shape, shared_mem, len(values)))
            for v, p in zip(values, kernel.parameters, strict=True):
                f.write(struct.pack("=QQ", v.nbytes, p.is_array) + v.tobytes())
        environment = os.environ | {"ASAN_OPTIONS": ASAN}
        done = subprocess.run(
            [str(kernel._file), str(file)], capture_output=True, text=True, env=environment, check=False
        )
        if done.returncode:
            return _read_report(done.stderr, values, kernel.parameters) or f"crashed:\n{done.stderr.strip()[-2000:]}"
        if done.stdout:
            print(done.stdout, end="")
        content, at = file.read_bytes(), 0
        for v, p in zip(values, kernel.parameters, strict=True):
            if p.is_array and p.is_written:
                v[...] = np.frombuffer(content, v.dtype, v.size, at).reshape(v.shape)
            at += v.nbytes if p.is_array else 0
    return None


def _read_signature(program: Path) -> str:
    return subprocess.run([str(program)], capture_output=True, text=True, check=True).stdout.strip()


def _read_report(report: str, values: list[np.ndarray], parameters: Sequence[Parameter]) -> str | None:
    """Turn AddressSanitizer's report into one sentence, or None if it is something else."""
    if stopped := re.search(r"^shim-stop (.*)", report, re.M):
        return stopped[1]
    access = re.search(r"^(READ|WRITE) of size (\d+) at 0x([0-9a-f]+)", report, re.M)
    line = re.search(r"\w+\.cu:(\d+)", report)
    if not access or not line:
        return None
    address, verb = int(access[3], 16), {"READ": "reads", "WRITE": "writes"}[access[1]]
    thread = re.search(r"^shim-thread (.*)", report, re.M)
    where = f"line {line[1]}: {thread[1] if thread else 'a thread'} {verb}"
    if variable := re.search(r"^shim-shared (.*)", report, re.M):
        return f"{where} outside __shared__ {variable[1]}"
    arrays = [
        (int(base), values[int(i)], parameters[int(i)])
        for i, base in re.findall(r"^shim-array (\d+) (\d+)", report, re.M)
    ]

    def distance(array: tuple[int, np.ndarray, Parameter]) -> int:
        base, value, _ = array
        return max(base - address, address - base - value.nbytes)

    if not arrays or distance(nearest := min(arrays, key=distance)) > 1 << 20:
        return f"{where} an address that is in none of its arrays"
    base, value, p = nearest
    return f"{where} {p.name}[{(address - base) // p.size}], but {p.name} has {value.nbytes // p.size} elements"
