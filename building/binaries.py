"""What the compiled files of a wheel need of a system, and what in them could reach the network.

Reading them takes lief, which is no part of Python: ``python -m building.binaries FOLDER WHEEL...`` runs in the
engine's environment and leaves one JSON file per wheel in the folder, named by the wheel's bytes and by the code that
read them. Nothing of a wheel is run or even unpacked.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
import zipfile
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from building import shell
from building.environments import ENGINE
from building.shell import BUILD

if TYPE_CHECKING:
    import lief

FOLDER = BUILD / "binaries"
MAGICS = (b"MZ", b"\x7fELF", b"\xcf\xfa\xed\xfe", b"\xca\xfe\xba\xbe")  # PE, ELF, Mach-O, Mach-O for several processors
MACHINES = {"AMD64": "x64", "X86_64": "x64", "ARM64": "arm64", "AARCH64": "arm64"}  # lief's names: Blender's

# Libraries and classes of the systems, and of curl, that fetch and send by themselves.
SERVICES = re.compile(
    r"(wininet|winhttp|urlmon|webio|websocket|httpapi|dnsapi)\.dll"
    r"|.*/(CFNetwork|Network)\.framework/.*|_OBJC_CLASS_\$_NSURL(Session|Connection|Download)|_nw_connection_\w+"
    r"|.*\blib(curl|soup|neon|nghttp2)[-.\d].*|_?curl_easy_perform",
    re.IGNORECASE,
)
# The same, found among the bytes: what is loaded by name, what is linked in, and whom it reports to.
TRACES = {
    "the group of Windows' own telemetry": bytes.fromhex("1a73504fcf898247b3e0dce8c90476ba"),
    "wininet.dll, by name": "wininet.dll".encode("utf-16-le"),
    "winhttp.dll, by name": "winhttp.dll".encode("utf-16-le"),
} | {
    text: text.encode()
    for text in (
        "libcurl/", "OneCollector", "events.data.microsoft.com", "applicationinsights", "appcenter.ms",
        "play.googleapis.com", "google-analytics.com", "crashlytics", "sentry.io", "bugsnag.com", "mixpanel.com",
        "amplitude.com", "segment.io", "datadoghq.com", "telemetry.nvidia.com", "winhttp.dll", "wininet.dll",
    )
}  # fmt: skip
# Plain sockets, with which these libraries say nothing on their own account.
SOCKETS = re.compile(
    r"(ws2_32|wsock32|mswsock)\.dll|_?(connect|getaddrinfo|gethostbyname\w*|res_n?query)", re.IGNORECASE
)


@dataclass(frozen=True)
class Binary:
    """A program or a library inside a wheel."""

    path: str  # inside the wheel
    format: str  # PE, ELF or Mach-O
    machine: str  # x64, arm64, or what lief calls another
    program: bool  # to be started rather than loaded
    needed: tuple[str, ...]  # libraries, by the names that it knows
    search: tuple[str, ...]  # the folders where ELF and Mach-O look for them
    minimum: tuple[int, ...]  # version of Windows, glibc or macOS
    signed: bool  # Mach-O's code signature is there
    network: tuple[str, ...]  # which of SERVICES and TRACES
    sockets: tuple[str, ...]  # which of SOCKETS


def of_wheels(wheels: dict[str, Path]) -> dict[str, list[Binary]]:
    """The binaries of wheels, read where that was not done before.

    Args:
        wheels: the wheels by their sha256, which also are the keys of the result.
    """
    targets = {digest: FOLDER / f"{digest[:32]}-{_reader()}.json" for digest in wheels}
    if missing := [wheels[digest] for digest, target in targets.items() if not target.exists()]:
        shell.step(f"Reading the compiled files of {len(missing)} wheels")
        if shell.run(ENGINE.python, "-m", "building.binaries", FOLDER, *missing):
            raise SystemExit("The wheels' compiled files could not be read; the message above says why.")
    return {digest: _load(json.loads(target.read_text("utf-8"))) for digest, target in targets.items()}


def _load(rows: list[dict[str, Any]]) -> list[Binary]:
    for row in rows:
        row |= {name: tuple(row[name]) for name in ("needed", "search", "minimum", "network", "sockets")}
    return [Binary(**row) for row in rows]


def read_wheel(wheel: Path) -> list[Binary]:
    """Every binary in a wheel, whatever its name."""
    found = []
    with zipfile.ZipFile(wheel) as archive:
        for info in archive.infolist():
            with archive.open(info) as file:
                start = file.read(4)
            if start.startswith(MAGICS) and info.file_size > 64:
                found.append(_read(info.filename, archive.read(info)))
    return found


def _read(path: str, data: bytes) -> Binary:
    import lief

    lief.logging.disable()
    if data.startswith(b"MZ"):
        config = lief.PE.ParserConfig()
        config.parse_signature = config.parse_exports = config.parse_reloc = config.parse_rsrc = False
        config.parse_exceptions = False
        binary = lief.PE.parse(data, config)
        found = None if binary is None else _pe(path, binary, data)
    elif data.startswith(b"\x7fELF"):
        config = lief.ELF.ParserConfig()
        config.parse_relocations = config.parse_symtab_symbols = config.parse_notes = config.parse_overlay = False
        binary = lief.ELF.parse(data, config)
        found = None if binary is None else _elf(path, binary, data)
    else:
        slices = lief.MachO.parse(data, lief.MachO.ParserConfig.quick)
        binary = None if slices is None else min(slices, key=lambda one: _machine(one.header.cpu_type) != "arm64")
        found = None if binary is None else _macho(path, binary, data)
    if found is None:
        raise SystemExit(f"{path} starts like a binary but cannot be read.")
    return found


def _pe(path: str, binary: lief.PE.Binary, data: bytes) -> Binary:
    needed = [str(library.name) for library in (*binary.imports, *binary.delay_imports)]
    optional = binary.optional_header
    return Binary(
        path=path, format="PE", machine=_machine(binary.header.machine),
        program=not binary.header.has_characteristic(type(binary.header).CHARACTERISTICS.DLL),
        needed=tuple(needed), search=(),
        minimum=(optional.major_subsystem_version, optional.minor_subsystem_version),
        signed=False, network=_network(needed, data), sockets=_matches(SOCKETS, needed),
    )  # fmt: skip


def _elf(path: str, binary: lief.ELF.Binary, data: bytes) -> Binary:
    import lief

    entries = binary.dynamic_entries
    search = [e.rpath for e in entries if isinstance(e, lief.ELF.DynamicEntryRpath)]
    search += [e.runpath for e in entries if isinstance(e, lief.ELF.DynamicEntryRunPath)]
    versions = [str(a.name) for need in binary.symbols_version_requirement for a in need.get_auxiliary_symbols()]
    glibc = [tuple(map(int, m[1].split("."))) for v in versions if (m := re.fullmatch(r"GLIBC_([\d.]+)", v))]
    needed = [str(library) for library in binary.libraries]
    names = [*needed, *(str(symbol.name) for symbol in binary.imported_symbols)]
    return Binary(
        path=path, format="ELF", machine=_machine(binary.header.machine_type), program=binary.has_interpreter,
        needed=tuple(needed), search=tuple(folder for line in search for folder in str(line).split(":")),
        minimum=max(glibc, default=(0,)),
        signed=False, network=_network(names, data), sockets=_matches(SOCKETS, names),
    )  # fmt: skip


def _macho(path: str, binary: lief.MachO.Binary, data: bytes) -> Binary:
    import lief

    own = lief.MachO.LoadCommand.TYPE.ID_DYLIB  # is listed among the libraries, but names the file itself
    needed = [str(library.name) for library in binary.libraries if library.command != own]
    names = [*needed, *(str(symbol.name) for symbol in binary.imported_symbols)]
    build, before = binary.build_version, binary.version_min
    minimum = build.minos if build is not None else before.version if before is not None else [0]
    return Binary(
        path=path, format="Mach-O", machine=_machine(binary.header.cpu_type),
        program=binary.header.file_type == lief.MachO.Header.FILE_TYPE.EXECUTE,
        needed=tuple(needed), search=tuple(str(command.path) for command in binary.rpaths),
        minimum=tuple(minimum[:2]), signed=binary.has_code_signature,
        network=_network(names, data), sockets=_matches(SOCKETS, names),
    )  # fmt: skip


def _network(names: Iterable[str], data: bytes) -> tuple[str, ...]:
    traces = [name for name, trace in TRACES.items() if trace in data]
    return tuple(sorted({*_matches(SERVICES, names), *traces}))


def _matches(pattern: re.Pattern[str], names: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted({name for name in names if pattern.fullmatch(name)}))


def _machine(machine: object) -> str:
    name = str(machine).split(".")[-1]
    return MACHINES.get(name, name)


def _reader() -> str:
    """Changes whenever this file does, so that old answers are not taken for new ones."""
    return hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:8]


def main(arguments: list[str]) -> int:
    folder = Path(arguments[0])
    folder.mkdir(parents=True, exist_ok=True)
    for wheel in map(Path, arguments[1:]):
        with wheel.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        target = folder / f"{digest[:32]}-{_reader()}.json"
        part = target.with_suffix(".part")
        part.write_text(json.dumps([asdict(binary) for binary in read_wheel(wheel)], indent=1), "utf-8")
        part.replace(target)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
