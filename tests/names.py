"""Names that a user may give a folder, and that mean something to a URL, a pattern, a format string, a shell or a page."""

HOSTILE = (
    "where?mode=memory&cache=shared",
    "50%20 off #1;",
    "{SCHEMA_VERSION} {0} %s $HOME",
    "[x] * !(y) ~ `id`",
    'd\'été <b> & "ça" 漢字',
    "file:x?vfs=none",
    "-rf :fire:",
)
