"""What can be set of the memory: transparent huge pages.

Source: Documentation/admin-guide/mm/transhuge.rst of the Linux kernel.
"""

from pathlib import Path

from perfport.measure.actuators.files import FileActuator, FileOption, read_text
from perfport.space.options import Option

__all__ = ["HugePages"]

_MODES = ("always", "madvise", "never")


class HugePages(FileActuator):
    """Which memory is given in huge pages without being asked: `transparent_hugepages`.

    Args:
        sysfs: Root of the sysfs tree; a recorded one in tests.
    """

    needs_new_child = True

    def __init__(self, sysfs: Path | str = "/sys") -> None:
        file = Path(sysfs) / "kernel" / "mm" / "transparent_hugepage" / "enabled"
        now = read_text(file)
        option = Option(
            name="transparent_hugepages",
            type="categorical",
            values=_MODES,
            default=now if now in _MODES else None,
            owner="actuator",
            description="Whether all memory, that of programs that ask, or none is given in huge pages.",
        )
        found = [FileOption(option, (file,), lambda level: (str(level),), lambda texts: texts[0])] if now else []
        super().__init__("hugepages", found, f"no {file}: the kernel was built without them")
