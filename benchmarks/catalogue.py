"""How long `fusecat check` takes, and how much memory, on a made-up catalogue of Rakuten's size without pictures.

python benchmarks/catalogue.py [--products 84916]
"""

import argparse
import csv
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def write(folder: Path, products: int) -> None:
    """Products in SIGIR layout: 27 classes, a third without description, with markup, entities and duplicate titles."""
    dice = random.Random(1)
    words = ["".join(dice.choice("aeioubcdfglmnprst") for _ in range(dice.randint(2, 9))) for _ in range(20_000)]
    codes = [str(10 * number) for number in range(1, 28)]
    with (
        (folder / "X_train.tsv").open("w", encoding="utf-8", newline="") as texts,
        (folder / "Y_train.tsv").open("w") as labels,
    ):
        text_rows, label_rows = csv.writer(texts, delimiter="\t"), csv.writer(labels, delimiter="\t")
        text_rows.writerow(["Integer_id", "Title", "Description", "Image_id", "Product_id"])
        label_rows.writerow(["Integer_id", "Prdtypecode"])
        for number in range(products):
            title = " ".join(dice.choices(words, k=11)) if dice.random() > 0.05 else f"Livre occasion {dice.randrange(1500)}"
            body = " ".join(dice.choices(words, k=dice.randint(10, 200)))
            description = "" if dice.random() < 0.35 else f"<p>{body}</p><br/>&eacute;t&eacute; <b>x</b>"
            text_rows.writerow([number, title, description, 10**9 + number, number])
            label_rows.writerow([number, dice.choices(codes, weights=range(1, 28))[0]])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--products", type=int, default=84_916)
    count = parser.parse_args().products
    with tempfile.TemporaryDirectory() as name:
        write(Path(name), count)
        command = [sys.executable, "-m", "fusecat", "check", name, "--images", "none", "--workspace", f"{name}/workspace"]
        start = time.perf_counter()
        subprocess.run(command, check=True)
        seconds = time.perf_counter() - start
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent, memory = usage.ru_utime, usage.ru_maxrss >> 10
    print(f"{count:,} products: {seconds:.1f} s, {spent:.1f} s of processor time, at most {memory} MB")


if __name__ == "__main__":
    main()
