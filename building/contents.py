"""What of a wheel is unpacked on the artist's machine.

Every file is one more that a virus scanner reads, Windows opens no path of 260 characters, and nobody compiles there.
The wheels themselves stay whole in the extension's folder, with every licence that is left out here.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

# Regular expressions that match the whole path of a file inside its wheel; case does not count. The unpacker of the
# extension reads them from wheels/lock.json.
LEFT_OUT = (
    r"(.*/)?include/.*",  # this and the next: read by compilers alone
    r".*\.(h|hh|hpp|hxx|cuh|inl|c|cc|cpp|cu|f|f90|pxd|pxi|pyx)",
    r".*\.(lib|a|pdb|cmake|pc)",  # read by linkers and debuggers
    r".*\.pyi",  # read by type checkers
    r"(.*/)?tests?/.*",  # of packages; for Linux PyTorch has a hundred programs there
    r"sympy/(.*/)?(benchmarks|test-examples)/.*",
    r"gsplat/(.*/)?doc/.*",  # of a library of its sources
    # Programs, and scripts that set up a shell. ffmpeg is one that the engine runs; PyTorch insists that its manager of
    # shared memory is there.
    r"(?!imageio_ffmpeg/binaries/).*\.(exe|com|msi|bat|cmd|ps1|vbs|sh|csh)",
    r"torch/bin/(?!torch_shm_manager$).*",
    r"[^/]+\.data/(scripts|headers|data)/.*",  # launchers and manual pages, which go nowhere that anything looks
    # What libigl's wheel spills beside its package: Embree for linking, manuals, an older C++ runtime.
    r"(bin|lib|lib64|share)/.*",
    # Licences that stand elsewhere in their wheel.
    r"cv2/license(-3rd-party)?\.txt",
    r"numpy/(ma|random)/license(\.md)?",
    # Those of what PyTorch's third parties bring along in turn, in names of up to 167 characters: copies, and those of
    # tools, tests and parts for other systems. Those of oneDNN, libuv, libnop and clog, which are linked in, are kept.
    r"torch-[^/]+\.dist-info/licenses/third_party/"
    r"(?!(ideep/mkl-dnn|tensorpipe/third_party/lib(uv|nop)|cpuinfo/deps/clog)/[^/]+$)[^/]+/.+/.+",
    # What the engine never imports.
    r"onnxruntime/(backend|datasets|quantization|tools|transformers)/.*",
    r"onnxruntime/capi/(lib)?onnxruntime[.\d]*(dll|dylib|so)[.\d]*",  # for C; the module for Python has its own copy
    r"pocketsphinx/model/en-us/en-us\.lm\.bin",  # of words; phones have one of their own
    r"igl/(copyleft|cycodebase|embree|predicates|spectra|triangle)/.*",
    r"torchgen/packaged/.*",  # templates for building PyTorch
    r"torch/_functorch/_activation_checkpointing/remat_.*",  # this and the next two: of torch.compile
    r"torch/_inductor/codegen/cutlass/lib_extensions/.*",
    r"torch/_inductor/kernel/(vendored_templates/|templates/triton_blackwell).*",
    r"torch/ao/pruning/_experimental/.*",
    r"torch/testing/_internal/distributed/rpc/.*",
    r"nvidia/(.*/)?lib/(nvshmem_(bootstrap|transport)_|libcufile_rdma|libcusolverMg).*",  # for clusters of computers
)


def kept(wheel: Path, patterns: Iterable[str] = LEFT_OUT) -> list[zipfile.ZipInfo]:
    """The files of a wheel that are unpacked."""
    rule = re.compile("|".join(f"(?:{pattern})" for pattern in patterns), re.IGNORECASE)
    with zipfile.ZipFile(wheel) as archive:
        return [info for info in archive.infolist() if not info.is_dir() and not rule.fullmatch(info.filename)]


def unpacked_path(inside: str) -> str:
    """Where a file of a wheel comes to lie, below the folder of all packages."""
    parts = PurePosixPath(inside).parts
    if parts[0].endswith(".data") and parts[1] in ("purelib", "platlib"):
        parts = parts[2:]
    return "/".join(parts)
