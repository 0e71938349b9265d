"""The commands of ``python -m engine``, one module each, which is imported only when it is the one to run.

Every module has ``add_arguments(parser)`` and ``run(options, progress)``, which raises EngineError, and Cancelled where
the user asked to stop. One that sets ``OWN_SIGNALS`` shows no progress bars and listens to Ctrl-C itself.
"""

from keyword import iskeyword

COMMANDS = {
    "reconstruct": "Photos or a clip to an avatar.",
    "batch": "A folder of people to a folder of avatars.",
    "render": "An avatar as PNG, or as a turntable MP4.",
    "inspect": "What is in an avatar file.",
    "export": "An avatar's splats for other programs.",
    "import": "A head or splats of another program to an avatar.",
    "bind": "Imported splats to a head that moves.",
    "evaluate": "Measure likeness by self-reenactment.",
    "perform": "An actor's face in a clip to a take: ARKit weights and turns, as CSV.",
    "live": "A phone, a webcam or a clip as it comes; can be recorded as a take.",
    "speak": "A voice to a take: lips, blinks and small motion, as CSV.",
    "serve": "Serve Blender on this machine: one JSON line on stdout when ready.",
    "synthesise": "Random synthetic heads with their ground truth, as PNG and npz.",
    "edit": "Mix two heads, replace regions, carry an expression over.",
    "train": "Train a learned system; the same command goes on after any stop.",
    "ablate": "Train the papers' ablations at a tiny size; goes on where it was stopped.",
    "benchmark": "How fast this machine is, as figures and ratios of one run.",
    "soak": "Use a server of its own for minutes; fails where memory, threads or handles grow.",
}
"""Module by module of this package, in the order of the help: what the command does."""


def module_of(command: str) -> str:
    """The name of a command's module in this package: Python's own words get an underscore, as PEP 8 has it."""
    return f"{command}_" if iskeyword(command) else command
