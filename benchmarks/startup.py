"""How long `import ringmoe` and `ringmoe --help` take, each in a fresh process.

    python -m benchmarks.startup [--repeats 20] [--json]

What counts is the time over that of an empty Python process, which the table shows beside it: the
goals (0.3 s and 0.5 s) hold for the whole process, interpreter included.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time

from benchmarks.environment import describe_environment

COMMANDS: dict[str, tuple[list[str], float | None]] = {  # name: (command, goal in seconds)
    "python -c pass": ([sys.executable, "-c", "pass"], None),
    "import ringmoe": ([sys.executable, "-c", "import ringmoe"], 0.3),
    "ringmoe --help": ([sys.executable, "-m", "ringmoe", "--help"], 0.5),
}


def measure(repeats: int) -> dict[str, dict[str, float | None]]:
    """Seconds of wall-clock time per command; the commands take turns."""
    times: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for turn in range(repeats + 1):
        for name, (command, _) in COMMANDS.items():
            start = time.perf_counter()
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            if turn > 0:  # the first turn fills the page cache and writes bytecode
                times[name].append(time.perf_counter() - start)
    return {
        name: {"min_s": min(taken), "median_s": statistics.median(taken), "goal_s": goal}
        for (name, (_, goal)), taken in zip(COMMANDS.items(), times.values(), strict=True)
    }


def main() -> None:
    """Print the table, or with --json all of it with the environment."""
    parser = argparse.ArgumentParser(prog="benchmarks.startup", description=__doc__)
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    results = measure(options.repeats)
    if options.json:
        print(json.dumps({"results": results, "environment": describe_environment()}, indent=2))
        return
    print(f"{'':16} {'minimum':>9} {'median':>9} {'goal':>9}")
    for name, row in results.items():
        goal = f"{row['goal_s']:7.2f} s" if row["goal_s"] is not None else ""
        print(f"{name:16} {row['min_s']:7.3f} s {row['median_s']:7.3f} s {goal}")


if __name__ == "__main__":
    main()
