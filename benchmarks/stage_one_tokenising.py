"""Tokenising in one process and in two, their start included: `python -m benchmarks.stage_one_tokenising`.

A command of its own, because a spawned process imports its parent's main module: `fusecat`'s imports no torch, nor does this.
"""

import argparse
import tempfile
from pathlib import Path

from benchmarks.stage_one_timing import free_cores, in_turns, show, show_gain
from fusecat.stages.extraction.tokenising import tokenise


def tokenising(options: argparse.Namespace) -> None:
    from benchmarks.product_texts import network, prepare, texts

    sentences = texts(options.texts)
    for name in options.networks:
        with tempfile.TemporaryDirectory() as folder:
            _, _, tokenizer = prepare(name, sentences[:2000], Path(folder), 1)
        entry = network(name)
        one, two = f"{name}, one process", f"{name}, two processes, start included"
        ways = {one: lambda: tokenise(tokenizer, entry, sentences, 0), two: lambda: tokenise(tokenizer, entry, sentences, 2)}  # noqa: B023
        seconds = in_turns(ways | free_cores(), options.rounds)
        show({way: seconds[way] for way in ways}, len(sentences), two, "texts")
        show_gain(seconds, one, two)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("networks", nargs="*", default=["flaubert", "camembert"])
    parser.add_argument("--texts", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=1)
    tokenising(parser.parse_args())


if __name__ == "__main__":
    main()
