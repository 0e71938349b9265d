"""The smallest binaries of each system that still say what they need; no compiler for them is at hand."""

from __future__ import annotations

import struct


def pe(*needed: str, program: bool = False, minimum: tuple[int, int] = (6, 0), machine: int = 0x8664) -> bytes:
    """A Windows library, for x64 unless told otherwise, that takes one function of each library."""
    base, file_start = 0x1000, 0x200
    directory = 20 * (len(needed) + 1)
    table, names = b"", b""
    for index, name in enumerate(needed):
        thunks = base + directory + 16 * index
        text = base + directory + 16 * len(needed) + len(names)
        names += name.encode() + b"\0"
        table += struct.pack("<5I", thunks, 0, 0, text, thunks)
    imports = table + bytes(20) + struct.pack("<QQ", 1 << 63 | 1, 0) * len(needed) + names  # by ordinal 1
    section = imports.ljust(0x200 * -(-len(imports) // 0x200), b"\0")
    header = struct.pack("<2sH56xI", b"MZ", 0, 64)
    header += struct.pack("<4sHHIIIHH", b"PE\0\0", machine, 1, 0, 0, 0, 240, 0x22 | (0 if program else 0x2000))
    header += struct.pack("<HBBIIIII", 0x20B, 14, 0, 0, len(section), 0, 0, base)
    header += struct.pack("<QIIHHHHHHI", 0x180000000, base, file_start, 6, 0, 0, 0, *minimum, 0)
    header += struct.pack("<IIIHHQQQQII", 0x2000, file_start, 0, 3, 0, 1 << 20, 1 << 12, 1 << 20, 1 << 12, 0, 16)
    header += struct.pack("<4I", 0, 0, base, directory) + bytes(14 * 8)
    header += struct.pack("<8sIIII", b".idata", len(section), base, len(section), file_start)
    header += struct.pack("<IIHHI", 0, 0, 0, 0, 0x40000040)
    return header.ljust(file_start, b"\0") + section


def elf(*needed: str, glibc: str = "", search: str = "", program: bool = False) -> bytes:
    """A Linux library for x64, which may ask for a version of glibc and look for libraries in folders of its own."""
    strings = b"\0"
    at: dict[str, int] = {}
    for text in (*needed, "libc.so.6", f"GLIBC_{glibc}", search, "/lib64/ld-linux-x86-64.so.2"):
        at[text] = len(strings)
        strings += text.encode() + b"\0"
    segments = 3 if program else 2
    start = 64 + 56 * segments
    versions = start + len(strings)
    wanted = struct.pack("<HHIII", 1, 1, at["libc.so.6"], 16, 0)
    wanted += struct.pack("<IHHII", 0, 0, 2, at[f"GLIBC_{glibc}"], 0)
    entries = [(1, at[name]) for name in needed] + [(5, start), (10, len(strings))]
    entries += [(0x6FFFFFFE, versions), (0x6FFFFFFF, 1)] if glibc else []
    entries += [(29, at[search])] if search else []
    dynamic = b"".join(struct.pack("<QQ", *entry) for entry in [*entries, (0, 0)])
    body = strings + wanted + dynamic
    end = start + len(body)
    header = b"\x7fELF\2\1\1".ljust(16, b"\0")
    header += struct.pack("<HHIQQQIHHHHHH", 3, 62, 1, 0, 64, 0, 0, 64, 56, segments, 64, 0, 0)
    header += _segment(1, 0, end) + _segment(2, end - len(dynamic), len(dynamic))
    if program:
        header += _segment(3, start + at["/lib64/ld-linux-x86-64.so.2"], 28)
    return header + body


def macho(*needed: str, minimum: tuple[int, int] = (11, 0), signed: bool = True, program: bool = False) -> bytes:
    """A macOS library for Apple's processors."""
    commands = [struct.pack("<6I", 0x32, 24, 1, minimum[0] << 16 | minimum[1] << 8, 0, 0)]
    for name in needed:
        text = name.encode().ljust(8 * (len(name) // 8 + 1), b"\0")
        commands.append(struct.pack("<6I", 0xC, 24 + len(text), 24, 0, 0, 0) + text)
    if signed:
        end = 32 + sum(map(len, commands)) + 16
        commands.append(struct.pack("<4I", 0x1D, 16, end, 16))
    body = b"".join(commands)
    kind = 2 if program else 6
    header = struct.pack("<8I", 0xFEEDFACF, 0x0100000C, 0, kind, len(commands), len(body), 0, 0)
    return header + body + bytes(16)


def _segment(kind: int, offset: int, size: int) -> bytes:
    return struct.pack("<IIQQQQQQ", kind, 4, offset, offset, offset, size, size, 8)
