"""The fields of a product: what a network looks at, by name. Texts are as many as a catalogue has; imports nothing heavy."""

import re
from typing import TYPE_CHECKING, Any, ClassVar, Self

if TYPE_CHECKING:
    from fusecat.stages.catalogue.data_model import Product

ATTRIBUTES = "attributes"
"""The field of numbers and categories (price, brand, size): no network reads it, `fusecat import --attributes` does."""

_TEXT = re.compile("[a-z][a-z0-9_]{0,39}")
_BOTH = "title_description"
_RESERVED = frozenset({"id", "label", "text", "image", "images", ATTRIBUTES, _BOTH})
"""Words that mean something else where fields are named: in a mapping, in a request, where reasons are told."""


def parts_of(name: str) -> tuple[str, ...]:
    """The texts that the field of this name joins, whether or not it is one that a catalogue could have."""
    return ("title", "description") if name == _BOTH else tuple(name.split("+"))


class Field(str):
    """What of a product a network looks at: one text (`title`, `brand`), texts joined (`title+brand`), or `image`.

    It is its own name, which ends the name of a feature. `title_description` is what `title+description` is called.
    Raises: ValueError for a name that none can have.
    """

    __slots__ = ()
    TITLE: ClassVar["Field"]
    DESCRIPTION: ClassVar["Field"]
    TITLE_DESCRIPTION: ClassVar["Field"]
    IMAGE: ClassVar["Field"]

    def __new__(cls, name: str) -> Self:
        """Check and, where it is another spelling, rename it."""
        parts = parts_of(name)
        if any(not _TEXT.fullmatch(part) for part in parts) or len(set(parts)) < len(parts):
            raise ValueError(
                f"{name!r:.60} is no field: write a small letter, then small letters, digits and underscores; + joins texts"
            )
        if len(parts) > 1 and (wrong := _RESERVED.intersection(parts)):
            raise ValueError(f"{name!r:.60} is no field: {min(wrong)} cannot be joined with texts")
        return super().__new__(cls, _BOTH if parts == parts_of(_BOTH) else name)

    @property
    def is_image(self) -> bool:
        """Whether it is the picture, and no text."""
        return self == "image"

    @property
    def parts(self) -> tuple[str, ...]:
        """The texts of a product that it joins, in this order; itself where it joins none."""
        return parts_of(self)

    def of(self, product: "Product") -> str | None:
        """Its text of a product, None where it is absent; of joined texts the parts that are there."""
        return " ".join(text for part in self.parts if (text := product.text_of(part))) or None

    @classmethod
    def __get_pydantic_core_schema__(cls, *_: Any) -> Any:
        """Settings name fields as texts."""
        from pydantic_core import core_schema

        return core_schema.no_info_plain_validator_function(lambda value: cls(value if isinstance(value, str) else str(value)))


Field.TITLE, Field.DESCRIPTION = Field("title"), Field("description")
Field.TITLE_DESCRIPTION, Field.IMAGE = Field(_BOTH), Field("image")
TEXTS = (Field.TITLE, Field.DESCRIPTION)
"""The texts that a catalogue has where nothing else is said."""
KNOWN = (*TEXTS, Field.TITLE_DESCRIPTION, Field.IMAGE)
"""The fields that have a name and an order of their own; further texts follow them."""


def words(name: str) -> str:
    """A field as a person reads it: `the brand`, `title and description`, `title, brand and bullets`."""
    parts = ["picture" if part == Field.IMAGE else part.replace("_", " ") for part in parts_of(name)]
    return f"the {parts[0]}" if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def reserved(name: str) -> str | None:
    """Why a further text cannot be called so, in words; None where it can."""
    if not _TEXT.fullmatch(name):
        return "a small letter, then small letters, digits and underscores (at most 40) are a name"
    return "the name means something else here" if name in _RESERVED else None
