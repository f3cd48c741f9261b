"""`make bench`: every benchmark at a size that takes a minute or two; full commands stand in each file and in RESULTS.md."""

import subprocess
import sys

SMALL = (
    ("benchmarks.catalogue", "--products", "8000"),
    ("benchmarks.cache", "read"),
    ("benchmarks.cache", "stream"),
    ("benchmarks.generators", "8000"),
    ("benchmarks.stage_one", "images", "--images", "60"),
    ("benchmarks.stage_one", "extraction", "--texts", "32", "--layers", "1", "--rounds", "1"),
    ("benchmarks.stage_two", "speed", "--products", "4000"),
    ("benchmarks.stage_two", "peers", "--products", "4000"),
    ("benchmarks.prediction", "rows", "--rows", "20000"),
    ("benchmarks.growth", "--products", "10000"),
    ("benchmarks.rehearsal", "--products", "1000"),
    ("benchmarks.report", "--coverage", "40", "--null", "5", "--power", "5"),
    ("benchmarks.report_pool", "--catalogues", "20"),
)


def main() -> int:
    """Run them one after the other, because two at a time would measure each other."""
    failed = []
    for module, *options in SMALL:
        print(f"== python -m {module} {' '.join(options)}", flush=True)
        if subprocess.run([sys.executable, "-m", module, *options], check=False).returncode:
            failed.append(module)
    print(f"failed: {', '.join(failed)}" if failed else "all ran")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
