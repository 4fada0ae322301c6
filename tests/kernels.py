"""Run the tests of learning under several kernels and numbers of threads.

    python -m tests.kernels                      # tests of learning, some minutes for each row
    python -m tests.kernels -m 'not slow'        # any other choice of pytest's
    TEST_SEEDS=3 python -m tests.kernels         # another seed, and no margin

A kernel stands for a processor: OpenBLAS (NumPy), MKL, oneDNN and ATen (torch) and NumPy's own
loops each take the instructions of one that is named, as far as this processor has them. The
arguments are pytest's; without any it is `-m learning`. A row says how many tests passed and
failed, and how many of them passed by their margin. Exit code 1 if one failed.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
THREADS = (1, 2)
# For each of OpenBLAS's names: ATen's, MKL's and oneDNN's, and what NumPy's loops go without.
KERNELS = {
    "SkylakeX": ("avx512", "AVX512", "AVX512_CORE", ()),
    "Haswell": ("avx2", "AVX2", "AVX2", ("X86_V4", "AVX512_ICL", "AVX512_SPR")),
    "Sandybridge": ("default", "AVX", "AVX", ("X86_V3", "X86_V4", "AVX512_ICL", "AVX512_SPR")),
    "Nehalem": ("default", "SSE4_2", "SSE41", ("X86_V3", "X86_V4", "AVX512_ICL", "AVX512_SPR")),
}


def environment(kernel: str, threads: int) -> dict[str, str]:
    """Return the variables of a process that computes as a processor of that kind does."""
    from numpy._core._multiarray_umath import __cpu_dispatch__, __cpu_features__

    aten, mkl, onednn, without = KERNELS[kernel]
    disabled = [f for f in without if f in __cpu_dispatch__ and __cpu_features__.get(f)]
    return {
        "OPENBLAS_CORETYPE": kernel,
        "ATEN_CPU_CAPABILITY": aten,
        "MKL_CBWR": mkl,
        "ONEDNN_MAX_CPU_ISA": onednn,
        "NPY_DISABLE_CPU_FEATURES": " ".join(disabled),
        **{f"{name}_NUM_THREADS": str(threads) for name in ("OMP", "OPENBLAS", "MKL")},
    }


def core(variables: dict[str, str]) -> str:
    """Return the kernel that OpenBLAS takes, which is another one where this has not the named."""
    done = subprocess.run(
        [sys.executable, "-c", "import numpy"],
        env=os.environ | variables | {"OPENBLAS_VERBOSE": "2"},
        capture_output=True,
        text=True,
    )
    found = re.search(r"Core: (\w+)", done.stdout + done.stderr)
    return found[1] if found else "unknown"


def main(arguments: list[str]) -> int:
    """Print a row for each kernel and number of threads; return the exit code."""
    print("| kernel | threads | passed | failed | by margin |\n|---|---|---|---|---|", flush=True)
    failed = False
    for kernel in KERNELS:
        for threads in THREADS:
            variables = environment(kernel, threads)
            if (found := core(variables)) != kernel:
                print(f"| {kernel} | {threads} | not here: OpenBLAS takes {found} | | |")
                continue
            command = [sys.executable, "-m", "pytest", *(arguments or ["-m", "learning"])]
            done = subprocess.run(
                command, cwd=ROOT, env=os.environ | variables, capture_output=True, text=True
            )
            failed |= done.returncode != 0
            counts = dict(map(reversed, re.findall(r"(\d+) (passed|failed)", done.stdout)))
            margin = len(re.findall(r"UserWarning: seed \d+ fails", done.stdout))
            row = (kernel, threads, counts.get("passed", 0), counts.get("failed", 0), margin)
            print(f"| {' | '.join(map(str, row))} |", flush=True)
            print("".join(re.findall(r"^FAILED.*\n", done.stdout, re.M)), end="", flush=True)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
