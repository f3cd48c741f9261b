"""Every faulty catalogue ends with its verdict: PASS, one counted WARN, or a FAIL that names the place. Never anything else."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from fusecat.pipeline.console import default_catalogue
from fusecat.stages.catalogue.data_model import Catalogue, ReadingOptions
from fusecat.stages.catalogue.decode_workers import DecodeWorkers
from fusecat.stages.catalogue.read import read_catalogue
from fusecat.stages.catalogue.validate import validate
from fusecat.stages.errors import DataError
from tests.stages.catalogue.nasty import FAULTS, Fault, draft


@pytest.fixture(scope="module")
def products(tmp_path_factory: pytest.TempPathFactory) -> list[tuple]:
    return told(read_catalogue(draft(default_catalogue(), tmp_path_factory.mktemp("good") / "it").write()))


def told(catalogue: Catalogue) -> list[tuple]:
    return [(p.id, p.title, p.description, p.code, [image.read_bytes() for image in p.images]) for p in catalogue.products]


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "catalogue").mkdir()
    yield tmp_path / "catalogue"
    for path in tmp_path.rglob("*.jpg"):
        if path.is_file():
            path.chmod(0o644)


@pytest.mark.timeout(60)  # none of them may hang
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_fault_ends_with_its_verdict(
    fault: Fault, folder: Path, products: list[tuple], decode_workers: DecodeWorkers
) -> None:
    spoilt = draft(default_catalogue(), folder)
    fault.spoil(spoilt)
    spoilt.write()
    try:
        found = validate(spoilt.folder, ReadingOptions(), None, decode_workers=decode_workers)
    except DataError as error:
        assert fault.verdict == "FAIL", error
        message = str(error)
        assert message.isprintable()
        assert len(message) < 500 + len(str(folder))
        assert str(spoilt.folder) in message
        for words in fault.words:
            assert words in message
    else:
        assert fault.verdict == ("WARN" if found.findings else "PASS"), found.findings
        assert tuple(finding.kind for finding in found.findings) == (fault.words if fault.verdict == "WARN" else ())
        for finding in found.findings:
            assert finding.count >= 1
            assert re.search(r"line \d|row \d|id \d|code \d|\.jpg|\d+ is not in|\.tsv", finding.first), finding
            assert finding.treatment
        if fault.same:
            assert told(found.catalogue) == products
        elif fault.verdict == "PASS" or "duplicate" in fault.name:
            assert [product[0] for product in told(found.catalogue)] == [product[0] for product in products]


def test_there_are_the_known_faults_and_many_more() -> None:
    verdicts = [fault.verdict for fault in FAULTS]
    assert len({fault.name for fault in FAULTS}) == len(FAULTS) >= 57 + 30
    assert min(verdicts.count(verdict) for verdict in ("PASS", "WARN", "FAIL")) >= 25
