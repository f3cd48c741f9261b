"""What a run would refuse of its networks, refused before the first of them is paid for."""

from collections.abc import Sequence

from fusecat.stages.extraction.devices import processes
from fusecat.stages.extraction.encoder import Encoder
from fusecat.stages.extraction.progress import Progress, silent
from fusecat.stages.extraction.weights import are_here
from fusecat.stages.progress import scratch


def try_out(encoders: Sequence[Encoder], progress: Progress = silent, *, fetch: bool = True) -> list[str]:
    """Build each network once, as fine-tuning will, and let it go again; returns the names of those that were not loaded.

    Without `fetch`, these are the networks whose weights do not lie on this machine.

    Raises: ModelError, UsageError, whatever building raises.
    """
    networks = {encoder.network.name: encoder for encoder in encoders}
    left = [name for name, encoder in networks.items() if not are_here(encoder.network) and not fetch]
    for name, encoder in networks.items():
        progress(encoder.feature, "trying the network", 0, 1)
        with processes().main_process_first(), scratch() as folder:
            encoder.try_out(folder, load=name not in left)
    return left
