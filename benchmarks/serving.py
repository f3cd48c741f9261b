"""What a service costs: many clients at once on loopback, beside a plain loop over the same products.

    python -m benchmarks.serving MODEL --clients 50 --seconds 120     # MODEL: a folder that 'fusecat export' wrote

Products are those of the shipped sample, one per request with its picture. Memory is the server's resident set, each second.
"""

import argparse
import base64
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import numpy as np

SAMPLE = Path(__file__).parents[1] / "pipeline" / "sample"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=120)
    options = parser.parse_args()
    products = sample()
    print(f"plain loop, one product at a time: {loop(options.model, products):.1f} products/s")
    command = [sys.executable, "-m", "fusecat", "serve", str(options.model), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            line = server.stdout.readline()
            load(line[line.index("http://") :].split(";")[0], server.pid, products, options)
        finally:
            server.terminate()


def sample() -> list[dict[str, object]]:
    """Products of the sample, pictures as bytes."""
    from fusecat.stages.catalogue.data_model import ReadingOptions
    from fusecat.stages.catalogue.read import read_catalogue

    return [
        {
            "title": product.title,
            "description": product.description,
            "images": [path.read_bytes() for path in product.images],
        }
        for product in read_catalogue(SAMPLE, ReadingOptions(labels=False)).products[:300]
    ]


def loop(model: Path, products: list[dict[str, object]]) -> float:
    """Products per second of a loop over the model."""
    from fusecat import load_model

    ask = load_model(model)
    ask(products[:1])
    begin, done = time.monotonic(), 0
    while time.monotonic() - begin < 10:
        ask([products[done % len(products)]])
        done += 1
    return done / (time.monotonic() - begin)


def load(address: str, server: int, products: list[dict[str, object]], options: argparse.Namespace) -> None:
    """All clients at once, for so many seconds."""
    import httpx

    bodies = [
        product | {"images": [base64.b64encode(data).decode() for data in product["images"]]}  # type: ignore[attr-defined]
        for product in products
    ]
    seconds, statuses, memory, lock = [], Counter[int](), [], threading.Lock()
    end = time.monotonic() + options.seconds

    def client(number: int) -> None:
        with httpx.Client(timeout=120) as session:
            while time.monotonic() < end:
                begin = time.monotonic()
                status = session.post(f"{address}/classify", json=bodies[(number * 7 + len(seconds)) % len(bodies)]).status_code
                with lock:
                    seconds.append(time.monotonic() - begin)
                    statuses[status] += 1

    threads = [threading.Thread(target=client, args=(number,)) for number in range(options.clients)]
    for thread in threads:
        thread.start()
    while time.monotonic() < end:
        memory.append(resident(server))
        time.sleep(1)
    for thread in threads:
        thread.join()
    p50, p99 = np.percentile(seconds, [50, 99])
    half = len(memory) // 2
    print(
        f"{options.clients} clients, {options.seconds:.0f} s: {statuses[200] / options.seconds:.1f} products/s, "
        f"p50 {p50:.2f} s, p99 {p99:.2f} s, statuses {dict(statuses)}; "
        f"memory {memory[min(5, half)]:.0f} MB after 5 s, {max(memory[half:]):.0f} MB at most in the second half"
    )


def resident(process: int) -> float:
    """Megabytes."""
    lines = Path(f"/proc/{process}/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024


if __name__ == "__main__":
    main()
