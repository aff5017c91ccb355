"""Print the table of `run.py`'s results, per limit the best dense and the best with experts.

python table.py OUT
"""

import json
import statistics
import sys
from pathlib import Path


def main(output_dir: Path) -> None:
    print(
        "| limit | kind | architecture | tried | active / all parameters | file bytes | ms / token "
        "| test bits per byte, per seed | word perplexity | trained in |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for path in sorted(output_dir.glob("*/result.json")):
        found = json.loads(path.read_text())
        means = {}
        for kind in ("dense", "experts"):
            rows = [row for row in found["rows"] if row["kind"] == kind]
            if not rows:
                print(f"| {found['limit']} | {kind} | none tried |")
                continue
            scores = [row["arm"]["metrics"]["bits_per_byte"] for row in rows]
            means[kind] = statistics.mean(scores)
            first, metrics = rows[0], rows[0]["arm"]["metrics"]
            print(
                f"| {found['limit']} | {kind} | {first['summary']} | {first['tried']} "
                f"| {first['num_active_params']:,} / {first['num_params']:,} "
                f"| {metrics['file_bytes']:,.0f} | {metrics['decode_ms_per_token']:.3f} "
                f"| {', '.join(f'{score:.4f}' for score in scores)} "
                f"| {statistics.mean(row['word_perplexity'] for row in rows):.0f} "
                f"| {statistics.mean(row['train_seconds'] for row in rows):.0f} s |"
            )
        if len(means) == 2:
            gap = means["experts"] - means["dense"]
            print(f"| {found['limit']} | experts minus dense | {gap:+.4f} bits per byte |")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
