"""Properties that several parts of the machine wing read."""

from perfport.data.measurement import Property

__all__ = ["CPU_TIME", "INFERENCE_TIME", "LATENCY", "PRIMARY"]

INFERENCE_TIME = Property(
    "inference_time_s",
    "s",
    "minimise",
    "Wall time of one run divided by the number of inputs it serves (its batch).",
)
PRIMARY = INFERENCE_TIME.name  # what repetitions go on for, and what grades are about
CPU_TIME = Property(
    "cpu_time_s",
    "s",
    "minimise",
    "Processor time of one run, all threads of the process, divided by the number of inputs. "
    "Not latency, but little disturbed by other load; threads that spin count.",
)
LATENCY = Property(
    "latency_s",
    "s",
    "minimise",
    "Time from handing a request over to its answer, median of the requests of one run. With one request at a time it "
    "is inference_time_s times the batch; with several, requests wait for each other.",
)
