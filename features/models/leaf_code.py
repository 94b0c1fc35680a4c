"""Machine code of the inner loop of leaf sets: made once for a processor, kept, and loaded without what makes it.

It is kept beside Python's own compiled files of this package, by the name of everything it depends on. Who may write
there may change the package itself. Where nobody may, every process has it made anew at its start.
"""

import ctypes
import hashlib
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from importlib.metadata import version
from importlib.util import cache_from_source
from pathlib import Path
from types import MappingProxyType

import structlog

from decisioning.errors import UnavailableError
from features.durability import replace_file

FUNCTION_NAMES = MappingProxyType({2: "score_rows_16", 4: "score_rows_32", 8: "score_rows_64"})
"""By bytes of a word."""

type Kernel = Callable[[int, int, int], None]
"""Takes the address of a plan, the number of customers, and the address of a room; see `MessageSets`."""

_SOURCE = Path(__file__).with_name("leaf_kernel.py")
_TIMEOUT_S = 300.0
_NOT_NEEDED = 4  # MADV_DONTNEED
_LOG = structlog.get_logger("nextbest.models")


class KernelUnavailableError(UnavailableError):
    """The machine code cannot be made or loaded here; LightGBM can score without it."""


@cache
def kernels() -> dict[int, Kernel]:
    """The loops by bytes of a word.

    Raises:
        KernelUnavailableError: They cannot be made or loaded.
        ImportError: What loads them is not installed.
    """
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    code = _own_code()
    try:
        machine = llvm.Target.from_default_triple().create_target_machine(codemodel="large")
        engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine)
        engine.add_object_file(llvm.ObjectFileRef.from_data(code))
        engine.finalize_object()
    except RuntimeError as error:
        raise KernelUnavailableError(f"machine code must be loadable, got {error}") from error
    _ENGINES.append(engine)
    _let_go_of_llvm()
    kind = ctypes.CFUNCTYPE(None, *[ctypes.c_ssize_t] * 3)
    return {size: kind(engine.get_function_address(name)) for size, name in FUNCTION_NAMES.items()}


_ENGINES: list[object] = []
"""What the code lives in."""


def _let_go_of_llvm() -> None:
    """Drop 80 MB of program that loaded the code and is not needed again; should it be, the kernel reads it anew.

    Only pages that may be run and not written, so there is nothing in them that the file does not hold. Linux only.
    """
    try:
        lines = Path("/proc/self/maps").read_text(encoding="utf-8").splitlines()
        give_advice = ctypes.CDLL(None).madvise
    except (OSError, AttributeError):
        return
    for line in lines:
        if "r-xp" in line and "libllvmlite" in line:
            start, end = (int(one, 16) for one in line.split(" ", 1)[0].split("-"))
            give_advice(ctypes.c_void_p(start), ctypes.c_size_t(end - start), _NOT_NEEDED)


def _own_code() -> bytes:
    """Machine code for the processor of this machine.

    Raises:
        KernelUnavailableError: It is not on disk and cannot be made.
    """
    import llvmlite.binding as llvm

    return _kept_code(f"{llvm.get_host_cpu_name()} {llvm.get_host_cpu_features().flatten()}")


def _kept_code(processor: str) -> bytes:
    """Machine code for this processor, from disk or made now.

    Raises:
        KernelUnavailableError: It is not on disk and cannot be made.
    """
    made_with = (_SOURCE.read_bytes(), version("numba").encode(), version("llvmlite").encode(), processor.encode())
    stamp = hashlib.sha256(b"\0".join(made_with)).hexdigest()[:20]
    folder = Path(cache_from_source(str(_SOURCE))).parent
    path = folder / f"{_SOURCE.stem}.{stamp}.o"
    try:
        return _opened(path.read_bytes())
    except (OSError, KernelUnavailableError):
        made = _made()
    code = _opened(made)
    try:
        replace_file(path, made)
    except OSError as error:
        _LOG.warning("machine_code_not_kept", problem=str(error), consequence="made anew at every start")
    return code


def sealed(code: bytes) -> bytes:
    """Code with its digest: what loads it takes a process down where a byte is wrong."""
    return code + hashlib.sha256(code).digest()


def _opened(content: bytes) -> bytes:
    code = content[: -hashlib.sha256().digest_size]
    if sealed(code) != content:
        raise KernelUnavailableError(f"machine code must be what was made, got {len(content)} other bytes")
    return code


def _made() -> bytes:
    try:
        done = subprocess.run(
            [sys.executable, "-m", "features.models.leaf_kernel"], capture_output=True, timeout=_TIMEOUT_S, check=True
        )
    except subprocess.CalledProcessError as error:
        last = error.stderr.decode(errors="replace").strip().splitlines()[-1:]
        raise KernelUnavailableError(f"machine code must be made by Numba, got {''.join(last)}") from error
    except (OSError, subprocess.SubprocessError) as error:
        raise KernelUnavailableError(f"machine code must be made by Numba, got {error}") from error
    return done.stdout
