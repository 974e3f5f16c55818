"""Version, patterns and limits of the graph document, shared by its reader, writer and JSON Schema."""

FORMAT = 1
"""The version of the document that this engine writes."""

ID = r"(?!__proto__(?![A-Za-z0-9_-]))[A-Za-z0-9_][A-Za-z0-9_-]{0,63}"
"""The id of a node, frame or note, and the name of a graph input, output or subgraph.

`__proto__` is refused because JavaScript treats an object's key of that name as its prototype.
"""
TYPE = (
    r"(?:[A-Za-z_][A-Za-z0-9_./-]{0,120}(?:@[1-9][0-9]{0,5})?"
    rf"|#{ID}"
    r"|\.{1,2}/[^@\\\x00-\x1f\x7f]{1,200}\.json)"
)
"""A node type: `Denoise@1`, `acme/Upscale@3`, or a graph: `#name`, `./upscale.json`."""
INPUT_TYPES = ("text", "seed", "int", "float", "bool", "choice", "file", "json")
"""The types of graph inputs that a person can type in. Any other is a wire type, for use as a subgraph."""
WIRE = r"(list of ){0,4}[A-Za-z_][A-Za-z0-9_./-]{0,63}"
"""The name of a wire type: `Image`, `list of Image`."""
LINK = r"[^.]*\.[^.]*"
"""One end of a wire: `node.output`, or `node.input` for its waypoints."""
COLOUR = r"[a-z]{1,20}|#[0-9a-f]{6}"
"""The colour of a frame: a name such as `models`, or six hex digits."""
LIFTS = ("zip", "cross")
"""The ways to go through several lists: side by side, or in every combination."""
MAX_NODES = 100_000
MAX_NESTED = 16
"""The most levels of graphs defined within graphs."""
