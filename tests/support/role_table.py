"""The table of roles as docs/guides/operators.md shows it; run as a program it writes the table there anew."""

import re
from pathlib import Path

from nodes.roles import MAY, Role

PAGE = Path(__file__).resolve().parents[2] / "docs/guides/operators.md"
TABLE = re.compile(r"^\| method \|.*\n(?:\|.*\n)+", re.MULTILINE)


def role_table() -> str:
    """Return the table of nodes/roles.py in Markdown."""
    rows = [f"| method | {' | '.join(Role)} |", "| --- |" + " --- |" * len(Role)]
    for method, roles in MAY.items():
        rows.append(f"| `{method}` | {' | '.join('yes' if role in roles else '-' for role in Role)} |")
    return "\n".join(rows) + "\n"


def main() -> None:
    """Write the table into the guide."""
    PAGE.write_text(TABLE.sub(lambda _: role_table(), PAGE.read_text()))


if __name__ == "__main__":
    main()
