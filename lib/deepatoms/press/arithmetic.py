"""The arithmetic of a run: which processor features, threads and libraries its numbers come from."""

import os
import platform
from importlib.metadata import version

import torch

# What tells the libraries to calculate as another processor would. One setting at a time; an empty one is this machine.
SETTINGS = {
    "default": {},
    "aten-default": {"ATEN_CPU_CAPABILITY": "default"},
    "aten-avx2": {"ATEN_CPU_CAPABILITY": "avx2"},
    "onednn-sse41": {"ONEDNN_MAX_CPU_ISA": "SSE41"},
    "onednn-avx2": {"ONEDNN_MAX_CPU_ISA": "AVX2"},
    "openblas-haswell": {"OPENBLAS_CORETYPE": "Haswell"},
    "openblas-prescott": {"OPENBLAS_CORETYPE": "Prescott"},
    "mkl-compatible": {"MKL_CBWR": "COMPATIBLE"},
    "numpy-baseline": {"NPY_DISABLE_CPU_FEATURES": "X86_V3 X86_V4 AVX512_ICL AVX512_SPR"},
    "libm-sse2": {"GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX512F,-AVX2,-FMA,-FMA4,-AVX"},
    "two-threads": {"OMP_NUM_THREADS": "2"},
}
# All libraries as on a processor with AVX2 and no AVX-512; two threads.
SETTINGS["avx2-processor"] = SETTINGS["aten-avx2"] | SETTINGS["onednn-avx2"] | SETTINGS["openblas-haswell"] | {
    "MKL_CBWR": "AVX2", "NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_ICL AVX512_SPR", "OMP_NUM_THREADS": "2",
    "GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX512F"}
# All as on one without AVX: as far from this machine as one run can go.
SETTINGS["plainest"] = {
    name: value for setting in ("aten-default", "onednn-sse41", "openblas-prescott", "mkl-compatible", "numpy-baseline",
                                "libm-sse2") for name, value in SETTINGS[setting].items()}
# What says how many threads a library takes where OMP_NUM_THREADS is not asked: one set outside would overrule a setting.
THREADS = ("MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_DYNAMIC")
VARIABLES = tuple(sorted({name for setting in SETTINGS.values() for name in setting} | set(THREADS)))


def environment(setting):
    """Return the environment of a process that calculates under a setting: one thread unless it says otherwise."""
    kept = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    return kept | {"OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "0"} | SETTINGS[setting]


def describe():
    """Return the arithmetic of this process as plain data.

    >>> sorted(describe())
    ['capability', 'machine', 'settings', 'threads', 'versions']
    """
    return {"machine": platform.machine(), "capability": torch.backends.cpu.get_cpu_capability(),
            "threads": torch.get_num_threads(),
            "versions": {name: version(name) for name in ("torch", "numpy", "scipy", "scikit-learn")},
            "settings": {name: os.environ[name] for name in VARIABLES if name in os.environ}}


def sentence(described):
    """Return an arithmetic in words.

    >>> sentence({"machine": "x86_64", "capability": "AVX2", "threads": 1, "versions": {"torch": "2.13.0"}, "settings": {}})
    'on x86_64 with AVX2, 1 thread, torch 2.13.0'
    """
    threads = f"{described['threads']} thread{'s' * (described['threads'] != 1)}"
    versions = [f"{name} {said}" for name, said in described["versions"].items()]
    settings = [f"{name}={said}" for name, said in described["settings"].items()]
    return f"on {described['machine']} with {described['capability']}, {', '.join([threads, *versions, *settings])}"
