"""A benchmark as any project has one: runs a network a few times and prints what it took, as JSON.

python examples/serving/bench.py --threads=2 --settings settings.json
"""

import argparse
import json
import statistics
import time
from pathlib import Path

import onnxruntime

from perfport.measure.networks import network
from perfport.measure.networks.inputs import make_inputs


def main() -> None:
    """Run the network and print one line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--side", type=int, default=96)
    parser.add_argument("--settings", type=Path, help="JSON file with the key graph_level")
    given = parser.parse_args()
    settings = json.loads(given.settings.read_text()) if given.settings else {"graph_level": "ENABLE_ALL"}
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = given.threads
    level = f"ORT_{settings['graph_level']}"
    options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, level)
    found = network("ppocr_det")
    session = onnxruntime.InferenceSession(str(found.path), options, providers=["CPUExecutionProvider"])
    inputs = make_inputs(found, {"side": given.side}, 1)
    times_ms = []
    for _ in range(7):
        begin = time.perf_counter()
        (text_map,) = session.run(None, inputs)
        times_ms.append(1000 * (time.perf_counter() - begin))
    print("a line for people, which is no JSON")
    print(json.dumps({"median_ms": statistics.median(times_ms[2:]), "text_share": float(text_map.mean())}))


if __name__ == "__main__":
    main()
