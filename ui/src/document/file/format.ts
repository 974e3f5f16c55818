/** Version, patterns and limits of the graph document; the same as those of `engine/document/format.py`. */

export const FORMAT = 1;

const ID_TEXT = "(?!__proto__(?![A-Za-z0-9_-]))[A-Za-z0-9_][A-Za-z0-9_-]{0,63}";
/** The id of a node, frame or note, and the name of a graph input, output or subgraph. */
export const ID = new RegExp(`^${ID_TEXT}$`, "u");
/** A node type: `Denoise@1`, `acme/Upscale@3`, or a graph: `#name`, `./upscale.json`. */
export const TYPE = new RegExp(
  `^(?:[A-Za-z_][A-Za-z0-9_./-]{0,120}(?:@[1-9][0-9]{0,5})?|#${ID_TEXT}|\\.{1,2}/[^@\\\\\\x00-\\x1f\\x7f]{1,200}\\.json)$`,
  "u",
);
/** The types of graph inputs that a person can type in. Any other is a wire type. */
export const INPUT_TYPES = ["text", "seed", "int", "float", "bool", "choice", "file", "json"] as const;
/** The name of a wire type: `Image`, `list of Image`. */
export const WIRE = /^(list of ){0,4}[A-Za-z_][A-Za-z0-9_./-]{0,63}$/;
/** One end of a wire: `node.output`, or `node.input` for its waypoints. */
export const LINK = /^[^.]*\.[^.]*$/;
/** The colour of a frame or note: a name such as `models`, or six hex digits. */
export const COLOUR = /^(?:[a-z]{1,20}|#[0-9a-f]{6})$/;
export const LIFTS = ["zip", "cross"] as const;
export const MAX_NODES = 100_000;
/** The most levels of graphs defined within graphs. */
export const MAX_NESTED = 16;
