from __future__ import annotations

import subprocess
import sys

MODULES = (
    "audio catalogue codec codes errors fields frames ids limits node_messages plan_a room_messages session_messages"
)
LIGHT = {"annotated_types", "lingua_wire", "orjson", "pybase64", "pydantic", "pydantic_core", "typing_extensions"}


def test_the_wire_needs_nothing_heavier_than_pydantic() -> None:
    imports = "; ".join(f"import lingua_wire.{name}" for name in MODULES.split())
    listing = (
        "import sys; before = set(sys.modules); "
        + imports
        + "; print(*{m.split('.')[0] for m in set(sys.modules) - before})"
    )
    done = subprocess.run([sys.executable, "-c", listing], capture_output=True, text=True, check=True, timeout=60)
    foreign = {
        name for name in done.stdout.split() if name.lstrip("_") not in sys.stdlib_module_names and name[0] != "_"
    }
    assert foreign - sys.stdlib_module_names <= LIGHT | {"typing_inspection"}
