"""A constructed zeus monitor: what `zeus.monitor.ZeusMonitor` 0.16 shows of itself, without its hardware."""

from dataclasses import dataclass, field
from types import SimpleNamespace


@dataclass
class FakeMonitor:
    """Answers the same energies in every window."""

    gpu_energy: dict[int, float] = field(default_factory=dict)
    cpu_energy: dict[int, float] | None = None
    dram_energy: dict[int, float] | None = None

    @property
    def gpu_indices(self) -> list[int]:
        return list(self.gpu_energy)

    @property
    def cpu_indices(self) -> list[int]:
        return list(self.cpu_energy or {})

    def begin_window(self, key: str, sync_execution: bool = True, restart: bool = False) -> None:
        assert not sync_execution
        assert restart

    def end_window(self, key: str, sync_execution: bool = True, cancel: bool = False) -> SimpleNamespace:
        return SimpleNamespace(
            gpu_energy=self.gpu_energy, cpu_energy=self.cpu_energy, dram_energy=self.dram_energy, soc_energy=None
        )
