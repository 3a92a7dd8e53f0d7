"""Time and memory of the whole word pipeline: decode, describe, learn words, encode, fit.

    python -m benchmarks.words_speed [--limit 100]

A histogram of 400 words with a linear SVM, on all training photographs of Imagenette at 160 px;
and whether the mean of its evidence is its decision value, on 200 validation photographs.
Peak memory is that of all processes together, sampled twice a second (memory they share counts
once for each of them).
"""

from __future__ import annotations

import argparse
import time

import minibag as mb
from benchmarks import record
from benchmarks.watch import watched
from minibag.stats import wilson_interval

JOBS = 2


def main() -> None:
    """Run the pipeline once, print time, memory and accuracy, and write the result."""
    parser = argparse.ArgumentParser(description="Time and memory of the word pipeline")
    parser.add_argument("--limit", type=int, help="photographs per class, to try it out")
    limit = parser.parse_args().limit
    features = mb.DenseSIFT(step=6, patch_size=(16, 24, 32), root=True)
    model = mb.BagOfVisualWords(features, n_words=400, n_jobs=JOBS, random_state=0)
    with watched() as seen:
        start = time.perf_counter()
        train = mb.imagenette("train", size=160, limit=limit, n_jobs=JOBS)
        decoded = time.perf_counter()
        model.fit(train)
        fitted = time.perf_counter()
    val = mb.imagenette("val", size=160, limit=limit, n_jobs=JOBS)
    right = int((model.predict(val) == val.labels).sum())
    low, high = wilson_interval(right, len(val))
    sample = val.subset(min(200, len(val)))
    votes = model.evidence(sample).mean((2, 3)) - model.decision_function(sample)
    peak, cpu = max(memory for memory, _ in seen), seen[-1][1] - seen[0][1]
    result = {
        "train": len(train),
        "jobs": JOBS,
        "decode_seconds": decoded - start,
        "fit_seconds": fitted - decoded,
        "total_minutes": (fitted - start) / 60,
        "cpu_minutes": cpu / 60,
        "peak_gib": peak,
        "accuracy": right / len(val),
        "interval": (low, high),
        "evidence_error": abs(votes).max(),
    }
    print(f"{len(train)} photographs, {JOBS} threads")
    print(f"decode {decoded - start:6.1f} s, SIFT + words + encode + fit {fitted - decoded:6.1f} s")
    print(f"total {result['total_minutes']:.1f} min, of CPU {cpu / 60:.1f} min")
    print(f"peak memory {peak:.2f} GiB, children included")
    print(f"accuracy {right / len(val):.1%}, 95 % interval {low:.1%} .. {high:.1%}")
    print(f"mean evidence - decision <= {abs(votes).max():.1e} on {len(sample)} photographs")
    print("written to", record.write("words_speed", result))


if __name__ == "__main__":
    main()
