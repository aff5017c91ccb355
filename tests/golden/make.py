"""Write this kind of machine's golden loss curves: `python tests/golden/make.py`.

Do so only where a change of the losses is meant, and say in the commit why they changed.
"""

import json
import sys

from golden_curves import FOLDER, NETWORKS, file_name, losses, machine_kind


def main() -> None:
    kind = machine_kind()
    path = FOLDER / file_name(kind)
    curves = {name: [round(loss, 7) for loss in losses(name)] for name in NETWORKS}
    path.write_text(json.dumps({"kind": kind, "losses": curves}, indent=1) + "\n", encoding="utf-8")
    sys.stdout.write(f"{path}\n")


if __name__ == "__main__":
    main()
