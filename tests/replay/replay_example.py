"""A small made-up table: 3 x 3 x 2 networks, two training seeds, one row that failed."""

import gzip
import json
import math
from itertools import product

from archsmith.replay.description import TableDescription

DESCRIPTION = TableDescription.model_validate(
    {
        "choices": {"categorical": ["op*"], "ordinal": ["depth"]},
        "objectives": {
            "accuracy": {"columns": ["acc_s0", "acc_s1"], "direction": "maximize"},
            "latency": {"columns": "ms"},
        },
        "static": {"num_params": "params"},
        "features": {"log_depth": "depth"},
    }
)
TOML = """
[choices]
categorical = ["op*"]
ordinal = ["depth"]
[objectives.accuracy]
columns = ["acc_s0", "acc_s1"]
direction = "maximize"
[objectives.latency]
columns = "ms"
[static]
num_params = "params"
[features]
log_depth = "depth"
"""


def rows():
    """Eighteen networks; the best by the mean is (b, y, 4), by the first seed (c, y, 4)."""
    made = []
    for first, depth, second in product("abc", (1, 2, 4), "xy"):
        accuracy = 50 + 5 * "abc".index(first) + 3 * math.log2(depth) + 4 * (second == "y")
        made.append(
            {
                "op0": first,
                "op1": second,
                "depth": depth,
                "acc_s0": accuracy,
                "acc_s1": accuracy - 12 * (first == "c"),
                "ms": 1.0 + depth + (second == "y"),
                "params": 100 * depth + 10 * "abc".index(first),
            }
        )
    made[0]["acc_s0"] = made[0]["acc_s1"] = None
    return made


def write_csv(path, table=None):
    table = rows() if table is None else table
    lines = [",".join(table[0])]
    lines += [",".join("" if v is None else str(v) for v in row.values()) for row in table]
    path.write_text("\n".join(lines) + "\n")
    return path


def write_json_lines(path, table):
    with gzip.open(path, "wt") as out:
        out.writelines(json.dumps(row) + "\n" for row in table)
    return path
