"""LightGBM's trees as text, read strictly before LightGBM sees them.

Its own reader believes every number: a node that is its own child never ends, a column that does not exist or a false size
reads memory that is not its own, and the process dies. What comes out here is a text of our own making, with the numbers of the
trees as they stood and nothing else of the file.
"""

import math
import re
from collections.abc import Mapping

HEADER = {"num_class", "num_tree_per_iteration", "max_feature_idx", "objective"}
NODES = ("split_feature", "threshold", "decision_type", "left_child", "right_child")
"""One value per inner node; `leaf_value` has one per leaf."""
ORDINARY = {0, 2, 4, 6, 8, 10}
"""`decision_type` of a comparison of numbers: 2 says where what is absent goes, 4 and 8 what is absent; 1 means categories."""

_WHOLE = re.compile(r"-?[0-9]{1,9}")
_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?(e[+-]?[0-9]{1,3})?")


def canonical(text: str, classes: int, columns: int) -> str:
    """The same trees as a text that LightGBM reads safely: `classes` trees per round, on `columns` columns.

    Raises: ValueError that says what is wrong, where the text is not of that many classes and columns, or a tree is none.
    """
    head, *blocks = re.split(r"^Tree=", text.partition("\nend of trees")[0], flags=re.MULTILINE)
    known = _fields(head)
    told = {name: known.get(name, "") for name in HEADER}
    wanted = {
        "num_class": str(classes),
        "num_tree_per_iteration": str(classes),
        "max_feature_idx": str(columns - 1),
        "objective": f"multiclass num_class:{classes}",
    }
    if told != wanted or "average_output" in head:
        raise ValueError(f"its trees are not of {classes} classes and {columns} columns")
    if not blocks or len(blocks) % classes:
        raise ValueError(f"it has {len(blocks)} trees, not the same number for each of {classes} classes")
    trees = [f"Tree={number}\n{_tree(_fields(block), number, columns)}\n\n" for number, block in enumerate(blocks)]
    names = " ".join(f"Column_{number}" for number in range(columns))
    lines = ["tree", "version=v4", *(f"{name}={value}" for name, value in wanted.items()), "label_index=0"]
    lines += [f"feature_names={names}", f"feature_infos={' '.join(['none'] * columns)}"]
    lines += [f"tree_sizes={' '.join(str(len(tree)) for tree in trees)}", "", ""]
    return "\n".join(lines) + "".join(trees) + "end of trees\n"


def _fields(block: str) -> Mapping[str, str]:
    return dict(line.split("=", 1) for line in block.splitlines() if "=" in line)


def _tree(fields: Mapping[str, str], number: int, columns: int) -> str:
    """One tree, checked. Raises ValueError."""
    try:
        problem = _problem(fields, columns)
    except KeyError as error:
        problem = f"has no {error}"
    if problem:
        raise ValueError(f"its tree {number} {problem}")
    leaves = int(fields["num_leaves"])
    kept = (*NODES, "leaf_value") if leaves > 1 else ("leaf_value",)
    lines = [f"num_leaves={leaves}", "num_cat=0", *(f"{name}={fields[name]}" for name in kept), "is_linear=0", "shrinkage=1"]
    return "\n".join(lines)


def _problem(fields: Mapping[str, str], columns: int) -> str | None:
    """What is wrong with a tree, in words."""
    if fields["num_cat"] != "0" or fields.get("is_linear", "0") != "0":
        return "decides by categories or has linear leaves, which no head of ours does"
    if not _WHOLE.fullmatch(fields["num_leaves"]) or (leaves := int(fields["num_leaves"])) < 1:
        return "has no leaves"
    found = {name: fields[name].split(" ") if fields[name] else [] for name in (*NODES, "leaf_value")}
    lengths = dict.fromkeys(NODES, leaves - 1) | {"leaf_value": leaves}
    for name, values in found.items():
        kind = _NUMBER if name in {"threshold", "leaf_value"} else _WHOLE
        if len(values) != lengths[name] or not all(map(kind.fullmatch, values)):
            return f"does not have {lengths[name]} numbers in '{name}'"
    if not all(math.isfinite(float(value)) for name in ("threshold", "leaf_value") for value in found[name]):
        return "holds a number without end"
    if not all(0 <= int(column) < columns for column in found["split_feature"]):
        return f"looks at a column beyond {columns}"
    if not {int(kind) for kind in found["decision_type"]} <= ORDINARY:
        return "decides in an unknown way"
    children = [(node, int(child)) for side in ("left_child", "right_child") for node, child in enumerate(found[side])]
    # a leaf is -1 - its number; a child is split off after its parent and numbered so: no path is endless
    if any(0 <= child <= parent for parent, child in children):
        return "has a node that is not below its parent"
    if sorted(child for _, child in children) != [*range(-leaves, 0), *range(1, leaves - 1)][: 2 * (leaves - 1)]:
        return "has nodes or leaves that are missing or stand twice"
    return None
