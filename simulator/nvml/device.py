"""One simulated board: who it is, what it counts, and what is wrong with it.

Owns identity, the counters that faults move, and the board's own faults. Second-to-second
behaviour is `physics`; turning this into NVML's structures is the business of the `calls_*` files.
"""

import random
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

from simulator.nvml.load import LoadSource
from simulator.nvml.physics import Physics
from simulator.nvml.profile import Profile

# Where the eight boards of an HGX baseboard sit on the PCI bus of a DGX H100.
PCI_BUSES = (0x1B, 0x43, 0x52, 0x61, 0x9D, 0xC3, 0xD1, 0xDF)
# The driver averages utilisation over a sixth of a second to a second; half lies between.
REFRESH_S = 0.5
NEVER_S = float("-inf")
LATENCY_MAX_US = 40
# Above Linux's largest process number, so that none is mistaken for one of this machine.
PROCESS_BASE = 5_000_000
# A board is cut into seven slices of its multiprocessors at most.
MIG_SLICES = 7
# 15e-255: what the driver says of a link without errors.
NO_BIT_ERRORS = 0xFFF


class Process(NamedTuple):
    """A compute process on the board."""

    pid: int
    name: str
    memory_share: float


class MigInstance(NamedTuple):
    """A part of a board: a GPU instance with one compute instance.

    `place` is its index on the board, `number` tells it from all that were on the board before.
    """

    place: int
    number: int
    uuid: str
    slices: int
    memory_mebibytes: int
    process: Process

    @property
    def gpu_instance(self) -> int:
        """NVML's number of the GPU instance; the whole board would be 0."""
        return self.place + 1


class Identity(NamedTuple):
    """What tells this board from all others of its model."""

    uuid: str
    serial: str
    pci_bus: int
    module_id: int


@dataclass(slots=True)
class Counters:
    """Counts that only faults move, apart from corrected errors, which physics adds.

    `_before` is what the board has counted in its life before the driver was loaded. All errors of
    links stand on the first one; `nvlink_bit_error_rate` is in NVML's form, mantissa and exponent.
    """

    corrected_before: int = 0
    uncorrected: int = 0
    uncorrected_before: int = 0
    sram_corrected: int = 0
    sram_uncorrected: int = 0
    sram_threshold_exceeded: bool = False
    rows_corrected: int = 0
    rows_uncorrected: int = 0
    remap_pending: bool = False
    remap_failed: bool = False
    unrepairable_memory: bool = False
    channel_repair_pending: bool = False
    inforom_corrupted: bool = False
    pcie_replays: int = 0
    pcie_correctable: int = 0
    pcie_naks_received: int = 0
    pcie_receiver: int = 0
    pcie_bad_tlps: int = 0
    pcie_naks_sent: int = 0
    pcie_bad_dllps: int = 0
    pcie_nonfatal: int = 0
    pcie_fatal: int = 0
    pcie_unsupported_requests: int = 0
    pcie_lcrc: int = 0
    nvlink_crc: int = 0
    nvlink_replay: int = 0
    nvlink_recovery: int = 0
    nvlink_receive: int = 0
    nvlink_recovery_events: int = 0
    nvlink_recovery_failures: int = 0
    nvlink_symbol: int = 0
    nvlink_bit_error_rate: int = NO_BIT_ERRORS
    c2c_errors: int = 0
    c2c_replays: int = 0
    recovery_action: int = 0


COUNTER_NAMES = frozenset(field.name for field in fields(Counters))


class SimulatedGpu:
    """A board in a slot. All methods are called with the driver's lock held.

    `loaded_s` is when it began to work, by the driver's clock.

    Attributes:
        lost: the board is off the bus; every call about it fails.
        unsupported: NVML function names and field ids (`"field 82"`) that answer "not supported".
        failing: the same names, with the NVML error to return.
        garbage: the same names, with the number or bytes to write over the true ones.
        links_down: NVLinks that are down.
        advanced_s: up to when time has passed, by the driver's clock.
        field_answers: by field and scope, what `calls_fields` has found to answer with.
        field_batches: the same for fields and scopes that were asked together.
        plain_until_s: until when it answers for itself, by the driver's clock; see `vouch`.
    """

    def __init__(
        self, profile: Profile, slot: int, seed: str, loaded_s: float, *, noise: float
    ) -> None:
        generator = random.Random(seed)
        self.profile = profile
        self.slot = slot
        self.noise = noise
        self.identity = make_identity(generator, slot)
        self.counters = Counters(
            corrected_before=int(noise * generator.expovariate(1 / 40)),
            pcie_replays=int(noise * generator.expovariate(1 / 4)),
        )
        self.physics = Physics(profile, generator.getrandbits(32), noise=noise)
        self.lost = False
        self.unsupported: set[str] = set()
        self.failing: dict[str, int] = {}
        self.garbage: dict[str, int | bytes] = {}
        self.links_down: set[int] = set()
        self.field_answers: dict[tuple[int, int], Any] = {}
        self.field_batches: dict[tuple[int, ...], Any] = {}
        self.processes: list[Process] = [Process(PROCESS_BASE + slot, "python3", 1.0)]
        self.mig_enabled = False
        self.instances: list[MigInstance] = []
        self._instances_made = 0
        self.advanced_s = loaded_s
        self.plain_until_s = NEVER_S

    def advance(self, now_s: float, source: LoadSource, refresh_s: float = REFRESH_S) -> bool:
        """Let time pass up to `now_s`; True when the board has just cut itself off."""
        passed_s = now_s - self.advanced_s
        if self.lost or passed_s < refresh_s:
            return False
        self.physics.advance(passed_s, source.load(self.slot, now_s))
        self.advanced_s = now_s
        return self.physics.shut_down

    def cut(self, count: int, seed: str) -> None:
        """Cut the board into that many equal MIG instances, all of them new; 0 leaves it empty."""
        generator = random.Random(f"{seed}/{self._instances_made}")
        slices = MIG_SLICES // count if count else 0
        # Of eight parts of the memory, an instance of half the board or more has four.
        parts = 4 if slices == 3 else 8 if slices == MIG_SLICES else slices
        memory = self.profile.memory_total_mebibytes * parts // 8
        self.instances = []
        for place in range(count):
            self._instances_made += 1
            process = Process(PROCESS_BASE + 100 + 10 * self.slot + place, "python3", 1 / count)
            uuid = make_identity(generator, self.slot).uuid.replace("GPU-", "MIG-")
            number = self._instances_made
            made = MigInstance(place, number, uuid, slices, memory, process)
            self.instances.append(made)

    def revive(self, now_s: float) -> None:
        """Come back after a reset or reseat: cool, idle, volatile counts at zero."""
        self.lost = False
        self.counters.uncorrected_before += self.counters.uncorrected
        self.counters.uncorrected = 0
        self.counters.recovery_action = 0
        self.counters.remap_pending = False
        energy_joules = self.physics.energy_joules
        self.physics = Physics(self.profile, self.slot, noise=self.noise)
        self.physics.energy_joules = energy_joules
        self.advanced_s = now_s

    @property
    def odd(self) -> bool:
        """Whether anything is wrong with it that a single call may have to tell."""
        return bool(self.lost or self.unsupported or self.failing or self.garbage)

    @property
    def memory_used_mebibytes(self) -> int:
        """Memory that processes hold."""
        free = self.profile.memory_total_mebibytes - self.profile.memory_reserved_mebibytes
        return round(free * self.physics.load.memory_used)

    @property
    def running(self) -> list[Process]:
        """Processes that there are now: none while nothing holds memory."""
        if not self.memory_used_mebibytes:
            return []
        if self.mig_enabled:
            return [instance.process for instance in self.instances]
        return self.processes


def make_identity(generator: random.Random, slot: int) -> Identity:
    """Return a UUID (version 4 by its form) and a serial of thirteen digits."""
    digits = f"{generator.getrandbits(128):032x}"
    uuid = f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-a{digits[17:20]}-{digits[20:]}"
    return Identity(
        uuid=f"GPU-{uuid}",
        serial=f"165{generator.randrange(10**10):010d}",
        pci_bus=PCI_BUSES[slot % len(PCI_BUSES)],
        module_id=slot + 1,
    )
